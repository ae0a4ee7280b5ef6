// Numbers, times and sizes as people read them. Pure; a value that is not there is an en dash.

export const kNothing = '–';

function finite(x: number | undefined | null): x is number {
  return typeof x === 'number' && Number.isFinite(x);
}

/** Three significant digits, thousands marked: 0.0712, 4.28, 91.4, 1,204. */
export function num(x: number | undefined | null): string {
  if (!finite(x)) return kNothing;
  const a = Math.abs(x);
  if (a >= 100 || Number.isInteger(x)) return Math.round(x).toLocaleString('en-US');
  if (a >= 10) return x.toFixed(1);
  if (a >= 0.1) return x.toFixed(2);
  return a < 0.0005 ? '0' : x.toFixed(3);
}

/** 950, 1.2k, 3.4M. */
export function short(x: number | undefined | null): string {
  if (!finite(x)) return kNothing;
  const a = Math.abs(x);
  if (a >= 999.5e6) return (x / 1e9).toFixed(1) + 'G';
  if (a >= 999.5e3) return (x / 1e6).toFixed(1) + 'M';
  if (a >= 9999.5) return (x / 1e3).toFixed(0) + 'k';
  if (a >= 999.5) return (x / 1e3).toFixed(1) + 'k';
  return num(x);
}

export function loss(x: number | undefined | null): string {
  return finite(x) ? x.toFixed(3) : kNothing;
}

/** A latency that is 0 has no sample. */
export function ms(x: number | undefined | null): string {
  if (!finite(x) || x === 0) return kNothing;
  if (x >= 9999.5) return (x / 1000).toFixed(0) + ' s';
  if (x >= 999.5) return num(Math.round(x / 100) / 10).replace(/0$/, '') + ' s';
  return x.toFixed(x < 9.95 ? 1 : 0) + ' ms';
}

const kUnits: [number, string][] = [
  [86400, 'd'],
  [3600, 'h'],
  [60, 'm'],
  [1, 's'],
];

/** Seconds in the two largest units: 42s, 3m 05s, 2h 10m, 4d 3h. */
export function span(seconds: number | undefined | null): string {
  if (!finite(seconds)) return kNothing;
  const s = Math.max(0, Math.floor(seconds));
  const i = kUnits.findIndex(([u]) => s >= u);
  if (i < 0) return '0s';
  const [u, n] = kUnits[i]!;
  const next = kUnits[i + 1];
  const head = Math.floor(s / u) + n;
  if (!next) return head;
  return `${head} ${String(Math.floor((s % u) / next[0])).padStart(2, '0')}${next[1]}`;
}

/** Roughly how long ago, in one unit, so that it changes seldom: just now, 40s ago, 12m ago. */
export function ago(seconds: number): string {
  const unit = kUnits.find(([u]) => seconds >= u);
  if (!unit || seconds < 10) return 'just now';
  const step = unit[0] === 1 ? 10 : unit[0];
  return `${(Math.floor(seconds / step) * step) / unit[0]}${unit[1]} ago`;
}

/** A clock that counts down: 1:59, 0:07, 1:02:03; past its time: -0:12. */
export function clock(seconds: number): string {
  const s = seconds < 0 ? Math.floor(-seconds) : Math.ceil(seconds);
  const sign = seconds < 0 && s > 0 ? '-' : '';
  const two = (x: number) => String(x).padStart(2, '0');
  const h = Math.floor(s / 3600);
  const m = Math.floor((s % 3600) / 60);
  return sign + (h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`);
}

export function slotTime(slotSeconds: number | undefined | null): string {
  if (!finite(slotSeconds)) return kNothing;
  if (slotSeconds < 3600) return num(Math.round(slotSeconds)) + ' slot-s';
  return num(slotSeconds / 3600) + ' slot-h';
}

export function bytes(x: number | undefined | null): string {
  if (!finite(x)) return kNothing;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (x >= 1024 && i < units.length - 1) {
    x /= 1024;
    ++i;
  }
  return `${i ? num(x) : x} ${units[i]}`;
}

/** Local time of day, HH:MM:SS; 0 = never. */
export function timeOfDay(us: number): string {
  if (!us) return kNothing;
  const d = new Date(us / 1000);
  return [d.getHours(), d.getMinutes(), d.getSeconds()]
    .map((x) => String(x).padStart(2, '0'))
    .join(':');
}

export function dateTime(us: number): string {
  if (!us) return kNothing;
  const d = new Date(us / 1000);
  const two = (x: number) => String(x).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${timeOfDay(us)}`;
}

export function plural(n: number, one: string, many = one + 's'): string {
  return `${num(n)} ${n === 1 ? one : many}`;
}

// ---- money, days and months ----

/** "$1.2M", "EUR 950": an amount in units of its currency, short. */
export function money(units: number | undefined | null, currency = 'USD'): string {
  if (!finite(units)) return kNothing;
  const sign = units < 0 ? '-' : '';
  const unit = currency === 'USD' ? '$' : currency + ' ';
  const a = Math.abs(units);
  if (a >= 999.5e6) return `${sign}${unit}${(a / 1e9).toFixed(2)}B`;
  if (a >= 999.5e3) return `${sign}${unit}${(a / 1e6).toFixed(2)}M`;
  if (a >= 9999.5) return `${sign}${unit}${(a / 1e3).toFixed(1)}k`;
  if (a >= 99.5) return `${sign}${unit}${Math.round(a).toLocaleString('en-US')}`;
  return `${sign}${unit}${a.toFixed(2)}`;
}

/** A price: as many digits as it has, at least two. */
export function price(units: number | undefined | null, currency = 'USD'): string {
  if (!finite(units)) return kNothing;
  const unit = currency === 'USD' ? '$' : currency + ' ';
  const digits = units.toFixed(4).replace(/0{1,2}$/, '');
  return unit + digits;
}

export function percent(share: number | undefined | null, digits = 0): string {
  return finite(share) ? `${(100 * share).toFixed(digits)}%` : kNothing;
}

/** Months since 1970-01 as 2027-03. */
export function monthText(month: number): string {
  const y = 1970 + Math.floor(month / 12);
  return `${y}-${String((((month % 12) + 12) % 12) + 1).padStart(2, '0')}`;
}

/** 2027-03 as months since 1970-01; NaN if it is none. */
export function monthOf(text: string): number {
  const m = /^(\d{4})-(\d{2})/.exec(text);
  return m ? (Number(m[1]) - 1970) * 12 + Number(m[2]) - 1 : NaN;
}

/** 2027-03-01 as days since 1970-01-01; NaN if it is none. */
export function dayOf(text: string): number {
  return text ? Date.parse(text + 'T00:00:00Z') / 86_400_000 : NaN;
}
