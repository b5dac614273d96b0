/**
 * Given to processes by `--import`: the wall clock of those of some regions is off. Their monotonic clock is not, as on a real
 * machine whose clock was set wrong. `SEXTANT_TEST_CLOCKS` says by how many milliseconds, such as `{"eu-west-1":180000}`; a process
 * belongs to the region in whose directory its configuration lies.
 */
const aheadMs: Record<string, number> = JSON.parse(process.env.SEXTANT_TEST_CLOCKS ?? '{}');
const offMs = Object.entries(aheadMs).find(([region]) =>
  process.argv.some((argument) => argument.includes(`/${region}/`)),
)?.[1];

if (offMs !== undefined) {
  const { now } = Date;
  const skewed = (): number => now() + offMs;
  globalThis.Date = new Proxy(Date, {
    construct: (target, given: [], asked) =>
      Reflect.construct(target, given.length === 0 ? [skewed()] : given, asked),
    get: (target, key) => (key === 'now' ? skewed : Reflect.get(target, key)),
  });
  Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + offMs });
}
