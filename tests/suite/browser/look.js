// Tells what stands on the page of a back-test as whoever looks at it sees it: section by section, what is hidden left out.
const box = (element) => element.getBoundingClientRect();
const drawn = (within, what) => [...within.querySelectorAll(what)].filter((one) => box(one).width > 0 && box(one).height > 0);
const shown = (within, what) => [...within.querySelectorAll(what)].filter((one) => getComputedStyle(one).display !== "none");
const bars = (picture, set) =>
  drawn(picture, `g.${set} rect`).map((bar) => [box(bar).top - box(picture).top, box(bar).bottom - box(picture).top]);
const lines = (picture, what) =>
  shown(picture, what).map((line) => {
    const style = getComputedStyle(line);
    return [box(line).width, style.strokeDasharray, Number.parseFloat(style.strokeWidth)];
  });
const picture = (svg) => ({
  new: bars(svg, "new"),
  old: bars(svg, "old"),
  // A level line has no height of its own.
  thresholds: lines(svg, "line.threshold:not(.old)"),
  old_thresholds: lines(svg, "line.threshold.old"),
  curves: drawn(svg, "path.curve").length,
  events: drawn(svg, "rect.event").length,
  points: drawn(svg, "circle").map((point) => point.querySelector("title").textContent),
  labels: shown(svg, "text").map((text) => text.textContent),
});
const section = (one) => ({
  height: box(one).height,
  text: one.innerText,
  rows: [...one.querySelectorAll(":scope > .wide tbody tr")].map((row) => [...row.cells].map((cell) => cell.innerText.trim())),
  pictures: [...one.querySelectorAll(":scope > svg")].map(picture),
});

// Each Chinese character by itself: one that the fonts lack is drawn as a box, like what no font has.
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 48;
const pen = canvas.getContext("2d", { willReadFrequently: true });
const image = (character) => {
  pen.clearRect(0, 0, 48, 48);
  pen.font = `32px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "top";
  pen.fillText(character, 4, 4);
  return pen.canvas.toDataURL();
};
const characters = [...new Set(document.body.innerText.match(/\p{Script=Han}/gu) ?? [])];
const images = new Set(characters.map(image));
const seen = {
  sections: Object.fromEntries([...document.querySelectorAll("section")].map((one) => [one.id, section(one)])),
  cards: shown(document, ".card").map((card) => card.innerText),
  chinese: characters.length,
  images: images.size,
  missing: images.has(image("\u{F0000}")) || images.has(image(" ")),
};
// In hexadecimal digits nothing is escaped.
const bytes = [...new TextEncoder().encode(JSON.stringify(seen))];
document.body.textContent = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
