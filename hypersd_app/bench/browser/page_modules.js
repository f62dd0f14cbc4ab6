// The page's ES modules for scripts that drive it: `hypersd.<name>` is what a module exports, or a part of the page. Once the
// modules are announced in the page's head they are imported, which gives the page's own instances.
(() => {
  const PARTS = { board: "board", comparePage: "compare", stylesPage: "styles", timelinePage: "timeline" };
  function addresses() {
    const main = document.querySelector('script[type="module"][src*="studio/static"]');
    const others = document.querySelectorAll('link[rel="modulepreload"][href*="studio/static"]');
    return main ? [main.src, ...[...others].map((link) => link.href)] : [];
  }
  async function expose() {
    const modules = await Promise.all(addresses().map((address) => import(address)));
    const exported = (name) => modules.find((module) => name in module)?.[name];
    window.hypersd = new Proxy({}, { get(own, name) {
      if (name in own) return own[name];
      return name in PARTS ? exported("part")(PARTS[name]) : exported(name);
    } });
  }
  const observer = new MutationObserver(() => {
    if (!addresses().length) return;
    observer.disconnect();
    expose();
  });
  if (addresses().length) expose();
  else observer.observe(document, { childList: true, subtree: true });
})();
