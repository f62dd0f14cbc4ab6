// What a reload must not lose: which tab is open, and what the text tab shows. Kept for this tab of the browser alone.
(function (hs) {
  "use strict";
  const [TAB, TEXT] = ["hypersd.tab", "hypersd.text"];
  const TABS = ["text", "board", "styles", "compare", "timeline"];
  const byLink = location.hash.startsWith("#recipe=");
  // Of before the reload: read before anything of now is written.
  const before = byLink ? {} : { tab: sessionStorage.getItem(TAB), text: sessionStorage.getItem(TEXT) };
  let choices = 0; // tabs that the visitor chose

  // For the text tab's first picture: a recipe's head as JSON, "" for a new visit.
  hs.remembered = () => before.text || "";
  hs.remember = (head) => sessionStorage.setItem(TEXT, JSON.stringify(head));
  hs.rememberPrompt = function (prompt) {
    const last = sessionStorage.getItem(TEXT);
    if (last && prompt.trim()) hs.remember({ ...JSON.parse(last), prompt });
  };

  function name(tab) { return TABS.find((each) => hs.texts[`tab.${each}`] === tab.textContent.trim()); }

  document.addEventListener("click", (event) => {
    const tab = event.target.closest && event.target.closest('[role="tab"]');
    if (!tab || !hs.texts) return;
    if (event.isTrusted) choices += 1;
    if (name(tab)) sessionStorage.setItem(TAB, name(tab));
  });

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
    hs.fillText(JSON.parse(before.text));
  });
})((window.hypersd = window.hypersd || {}));
