// Adds one page of the built book to this document, and answers when its formulas are drawn.
//
// `name` is the page's address in the book without its ending, `depth` how far below the top of
// the outline it lies, `html` its text, and `pages` the names of all that come into the document.
async ({ name, depth, html, pages }) => {
  const root = new URL(".", location.href).href;
  const from = new URL(`${name}.html`, root);
  const text = new DOMParser().parseFromString(html, "text/html");
  const article = text.querySelector("article");
  const all = (selector, change) => article.querySelectorAll(selector).forEach(change);

  async function addStyle(link) {
    const href = new URL(link.getAttribute("href"), from).href;
    if (document.querySelector(`link[href="${href}"]`)) return;
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
    document.head.append(style);
    await new Promise((done) => (style.onload = style.onerror = done));
  }

  // A link to a page of the book becomes one inside of the document; one to a file beside the
  // book, which a reader of the PDF has not, becomes plain text.
  function lead(link) {
    const to = new URL(link.getAttribute("href"), from);
    if (to.protocol !== "file:") return;
    const page = decodeURI(to.pathname).slice(new URL(root).pathname.length).replace(/\.html$/, "");
    if (pages.includes(page)) link.setAttribute("href", `#${page}${to.hash.replace("#", ":")}`);
    else link.removeAttribute("href");
  }

  function lower(heading) {
    const level = Number(heading.tagName[1]);
    const below = document.createElement(`h${Math.min(level + depth, 6)}`);
    Object.assign(below, { id: heading.id, className: `level-${level}` });
    below.append(...heading.childNodes);
    heading.replaceWith(below);
  }

  all(".headerlink, script", (element) => element.remove());
  all("a[href]", lead);
  all("img[src]", (image) => (image.src = new URL(image.getAttribute("src"), from).href));
  all("[id]", (element) => (element.id = `${name}:${element.id}`));
  all("h1, h2, h3, h4, h5, h6", lower);
  article.id = name;
  for (const link of text.querySelectorAll("link[rel=stylesheet]")) await addStyle(link);
  document.body.append(article);
  if (article.querySelector(".math")) await MathJax.typesetPromise([article]);
}
