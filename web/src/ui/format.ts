/** Numbers and dates as people read them. Pure. */

/** 1543714304 parameters -> "1.5B". */
export function formatCount(n: number): string {
  const [unit, size] = n >= 1e9 ? (['B', 1e9] as const) : n >= 1e6 ? (['M', 1e6] as const) : (['K', 1e3] as const);
  const value = n / size;
  return `${value >= 100 ? Math.round(value) : Number(value.toFixed(1))}${unit}`;
}

/** Bytes -> "1.6 GB", decimal as on disks. */
export function formatBytes(n: number): string {
  return n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(n / 1e6))} MB`;
}

/** Context length -> "32K". */
export function formatContext(n: number): string {
  return n >= 1024 ? `${Math.round(n / 1024)}K` : String(n);
}

/** 9.87 -> "9.9", 123.4 -> "123". */
export function formatSpeed(perSecond: number): string {
  return perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1);
}

/** Milliseconds -> seconds with one digit. */
export function formatSeconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

/** The heading under which a conversation is listed. */
export type Age = 'today' | 'yesterday' | 'week' | 'older';

/** How long ago, in calendar days of the reader's clock. */
export function ageOf(time: number, now: number): Age {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const day = 86_400_000;
  if (time >= midnight) return 'today';
  if (time >= midnight - day) return 'yesterday';
  return time >= midnight - 7 * day ? 'week' : 'older';
}
