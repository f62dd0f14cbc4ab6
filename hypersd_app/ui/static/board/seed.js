// Seeds: whole numbers that fit into 32 bits, as the server takes them.
export const MAX_SEED = 0xffffffff;

export const anySeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

// The seed that a number or what was typed stands for.
export const validSeed = (value) => Math.min(MAX_SEED, Math.max(0, Math.floor(Number(value)) || 0));
