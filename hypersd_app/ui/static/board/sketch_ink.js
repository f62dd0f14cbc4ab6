// What is ink in the pixels of a sketch, whatever its paper: white, grey, black or none at all.
const FAINT = 0.25; // how much a pixel differs from its paper, 0..1, from which it is ink
const CLEAR = 0.35; // and how much more until it is all ink
const TRANSPARENT = 0.05; // share of see-through pixels from which the paper is none

const lightness = (r, g, b) => (Math.max(r, g, b) + Math.min(r, g, b)) / 2;
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

// The colour of an image's paper, [r, g, b]. `data` is RGBA, not multiplied by alpha. Where the image is see-through the
// paper is white under dark things and black under light ones; else it is what most of the border shows.
export function paperColor(data, width, height) {
  const count = width * height;
  let [clear, sum, weight] = [0, 0, 0];
  for (let i = 0; i < 4 * count; i += 4) {
    if (data[i + 3] < 128) clear += 1;
    sum += data[i + 3] * lightness(data[i], data[i + 1], data[i + 2]);
    weight += data[i + 3];
  }
  if (clear > TRANSPARENT * count) return sum > 191 * weight ? [0, 0, 0] : [255, 255, 255];
  const border = [];
  for (let x = 0; x < width; x += 1) border.push(4 * x, 4 * ((height - 1) * width + x));
  for (let y = 0; y < height; y += 1) border.push(4 * y * width, 4 * (y * width + width - 1));
  return [0, 1, 2].map((channel) => median(border.map((i) => data[i + channel])));
}

// Colour and strength of each pixel's ink on white paper: [[r, g, b], alpha 0..1]. `data` is opaque RGBA on paper of that colour.
// On dark paper lightness is turned round and the hue kept: white chalk becomes black ink, red stays red.
export function inkOf(data, paper) {
  const dark = lightness(...paper) < 128;
  const turned = (color) => {
    const turn = 255 - Math.max(...color) - Math.min(...color);
    return dark ? color.map((value) => value + turn) : color;
  };
  const white = turned(paper).map((value) => Math.max(1, value));
  return Array.from({ length: data.length / 4 }, (_, i) => {
    const color = turned([data[4 * i], data[4 * i + 1], data[4 * i + 2]]).map((value, k) => Math.min(255, (255 * value) / white[k]));
    const strength = 1 - Math.min(...color) / 255;
    return [color, Math.min(1, Math.max(0, (strength - FAINT) / CLEAR))];
  });
}
