/** Times as people read them. */

/** `2026-11-29T12:00:00.123456Z`. @param us Unix microseconds. */
export function timeText(us: number): string {
  const iso = new Date(Math.floor(us / 1_000)).toISOString();
  return `${iso.slice(0, -1)}${String(((Math.floor(us) % 1_000) + 1_000) % 1_000).padStart(3, '0')}Z`;
}
