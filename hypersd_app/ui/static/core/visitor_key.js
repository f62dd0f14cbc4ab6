// The key by which the server knows this page's own style files. It lives as long as the page, and no recipe has it.
let key = "";
export function visitorKey() {
  key ||= [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return key;
}
// A request's head on its way to the server, with the key where it names such a file.
export const signed = (head) => ((head.styles || []).some((style) => style.name.startsWith("own-")) ? { ...head, visitor_key: visitorKey() } : head);
