// What a reload must not lose: which tab is open, and what the text tab shows. Kept for this tab of the browser alone.
(function (hs) {
  "use strict";
  const [TAB, TEXT] = ["hypersd.tab", "hypersd.text"];
  const TABS = ["text", "board", "styles", "compare", "timeline"];
  const read = (key) => hs.read("sessionStorage", key);
  const write = (key, value) => hs.write("sessionStorage", key, value);
  const byLink = location.hash.startsWith("#recipe=");
  // Of before the reload: read before anything of now is written.
  const before = byLink ? {} : { tab: read(TAB), text: read(TEXT) };
  let choices = 0; // tabs that the visitor chose
  let typed = false; // in the text tab

  // For the text tab's first picture: a recipe's head as JSON, "" for a new visit.
  hs.remembered = () => before.text || "";
  hs.remember = (head) => write(TEXT, JSON.stringify(head));
  hs.rememberPrompt = function (prompt) {
    const last = read(TEXT);
    if (last && prompt.trim()) hs.remember({ ...JSON.parse(last), prompt });
  };

  function name(tab) { return TABS.find((each) => hs.texts[`tab.${each}`] === tab.textContent.trim()); }

  document.addEventListener("click", (event) => {
    const tab = event.target.closest && event.target.closest('[role="tab"]');
    if (!tab || !hs.texts) return;
    if (event.isTrusted) choices += 1;
    if (name(tab)) write(TAB, name(tab));
  });

  document.addEventListener("input", (event) => { if (event.target.closest('[id^="hs-text-"]')) typed = true; });

  // A recipe may ask for a tab before Gradio has built the bar: wait until the tab is open, or the visitor wants another.
  hs.openTab = async function (wanted) {
    const chosen = choices;
    for (let tries = 0; tries < 100 && chosen === choices; tries += 1) {
      const tab = [...document.querySelectorAll('[role="tab"]')].find((each) => name(each) === wanted);
      if (tab && tab.getAttribute("aria-selected") === "true") return;
      if (tab) tab.click();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  hs.bridgeReady.then(async () => {
    if (before.tab && before.tab !== "text") hs.openTab(before.tab);
    if (!before.text) return;
    await hs.catalogueReady; // its arrival sets the text tab's lists anew
    if (!typed) hs.fillText(JSON.parse(before.text)); // what the visitor types meanwhile is newer
  });
})((window.hypersd = window.hypersd || {}));
