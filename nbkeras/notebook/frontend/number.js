// Numbers and times, in the reader's own format.

export const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const digits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const tiny = new Intl.NumberFormat(undefined, { notation: "scientific", maximumFractionDigits: 2 });

export function number(value) {
  if (typeof value !== "number") return String(value); // NaN and infinity come as words
  const size = Math.abs(value);
  return (size && size < 1e-4) || size >= 1e7 ? tiny.format(value) : digits.format(value);
}

export function clock(seconds) {
  const all = Math.max(0, Math.round(seconds));
  const pad = (part) => String(part).padStart(2, "0");
  const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(all % 60)}` : `${minutes}:${pad(all % 60)}`;
}

// The fewest digits that give the same float32 again, as programs read them.
export function shortest(value) {
  for (let count = 1; count < 9; count++) {
    const short = Number(value.toPrecision(count));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

const decimals = new Intl.NumberFormat(undefined, { minimumFractionDigits: 4, maximumFractionDigits: 4 });

// A figure: NaN comes as null, in an array too.
export function figure(value) {
  if (value?.$float !== undefined) return figure(value.$float);
  if (value === null || value === undefined) return "NaN";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) > 1) return whole.format(value);
  return Math.abs(value) < 1000 && (Math.abs(value) >= 0.0001 || value === 0) ? decimals.format(value) : number(value);
}
