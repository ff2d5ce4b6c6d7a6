"""Forecasts at the edge of the map, on the book's own records."""

from stnlib.book.claims import edge
from stnlib.book.claims.facts import runs
from stnlib.records import store
from stnlib.records.outcome import lost


def test_a_forecast_is_fitted_on_nothing_that_was_made_after_the_runs_it_is_judged_on():
    judged = {record.key for record in runs("cm-edge")}
    begun = min(record.provenance["date"] for record in runs("cm-edge"))
    dates = {r.key: (r.provenance["date"], r.study) for r in runs("cm-map")}
    fitted = set(edge.past()["key"])
    assert fitted and not fitted & judged
    # A record of another study was made for it again; the map had it before.
    assert all(dates[key][0] < begun or dates[key][1] != "cm-map" for key in fitted)


def test_the_monitor_is_not_judged_on_what_was_lost_sooner():
    onsets = edge.fresh()["onset"].dropna()
    for lead in (1, 12):
        assert edge.monitored(lead)["dying"].n == (onsets > lead).sum()


def test_forecasts_of_one_course_have_a_row_a_lead():
    course = edge.course(range(3, 0, -1))
    assert {name: list(table.index) for name, table in course.items()} == {
        "learning rate": [3, 2, 1],
        "step of θ": [3, 2, 1],
        "monitor": [3, 2, 1],
    }
    assert course["step of θ"]["dying"][1].n == len(edge.fresh()["onset"].dropna())


def test_changes_stand_together_the_least_lost_first_with_each_runs_own_reach():
    table = edge.changed(0.006)
    order = list(dict.fromkeys(table["row"]))
    assert (table["row"] != table["row"].shift()).sum() == len(order)
    shares = table.groupby("row")["lost"].mean()
    assert shares[order].is_monotonic_increasing
    plain = [r for r in store.of_study("cm-map") if r.config.lr == 0.006]
    plain = [r for r in plain if r.config.has_transformer and r.config.loc_lr_factor == 1]
    nothing = table[table["row"] == "nothing"]
    assert nothing["lost"].sum() == sum(map(lost, plain)) and len(nothing) == len(plain)
    assert nothing["reach"].between(0.02, 0.045).all()


def test_of_all_pairs_those_that_are_about_to_be_lost_have_larger_features():
    near, far = edge.concordance("phi", 1), edge.concordance("phi", 10)
    assert 0.5 < far.value < near.value <= near.high <= 1
