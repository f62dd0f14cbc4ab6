// Gradio loads the page anew once a lost server answers again, which it asks for at an address of its own. Its question waits
// until nobody draws: a reload in the middle of a stroke would end it.
const ASKS = /\/app_id$/;

// `idle()` resolves once a reload would take nothing away.
export function holdReload(idle) {
  const fetchNow = window.fetch;
  window.fetch = async function held(target, ...rest) {
    if (ASKS.test(new URL(target.url || target, location.href).pathname)) await idle();
    return fetchNow.call(window, target, ...rest);
  };
}
