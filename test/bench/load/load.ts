/**
 * The load generator: a process of its own, so that what it costs is known and is not taken from the system measured.
 * Started by `load-client.ts`, which sends it a plan and hears when the measuring begins and what it gave; then another one.
 */
import { Histogram } from '../measure/histogram.ts';
import { connects } from '../wire/index.ts';
import type { Lane, Wire } from '../wire/socket.ts';
import type { FromLoad, LoadPlan, ToLoad } from './plan.ts';
import { type Random, seeded, type Workload, workloads } from './workload.ts';

/** Connections opened at once. */
const openAtOnce = 16;
/** A lane rests this long after an error, so that a dead system is not hammered and the count of errors means something. */
const restMs = 20;
const finishMs = 10_000;

/** The benchmark may be gone by the time a message is written. */
const ignored = (): void => undefined;
const tell = (message: FromLoad): void => void process.send?.(message, ignored);

class Generator {
  private readonly plan: LoadPlan;
  private readonly lanes: readonly Lane[];
  private readonly workload: Workload;
  private readonly random: Random;
  private readonly latency = new Histogram();
  private measuring: boolean = false;
  private stopping: boolean = false;
  private inFlight = 0;
  private acknowledged = 0;
  private errors = 0;
  private firstError: string | null = null;
  private lastAnswerMs = 0;
  private longestGapMs = 0;
  private readonly idle: Lane[] = [];
  private readonly due: number[] = [];
  private endEarly: () => void = () => undefined;

  constructor(plan: LoadPlan, lanes: readonly Lane[]) {
    this.plan = plan;
    this.lanes = lanes;
    this.workload = workloads[plan.workload];
    this.random = seeded(plan.seed);
  }

  async run(): Promise<void> {
    const { warmMs, measureMs, perSecond } = this.plan;
    const pace = perSecond === null ? null : this.pace(perSecond);
    if (perSecond === null) for (const lane of this.lanes) this.issue(lane, performance.now());
    await pause(warmMs);
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    this.lastAnswerMs = startMs;
    this.measuring = true;
    tell({ kind: 'measuring' });
    const early = new Promise<void>((resolve) => {
      this.endEarly = resolve;
    });
    await Promise.race([pause(measureMs), early]);
    this.measuring = false;
    const endMs = performance.now();
    const used = process.cpuUsage(cpu);
    tell({
      kind: 'measured',
      result: {
        transactions: this.latency.count,
        elapsedMs: endMs - startMs,
        latency: this.latency.data(),
        errors: this.errors,
        firstError: this.firstError,
        longestGapMs: Math.max(this.longestGapMs, endMs - this.lastAnswerMs),
        acknowledged: this.acknowledged,
        cpuMs: (used.user + used.system) / 1_000,
      },
    });
    this.stopping = true;
    if (pace !== null) clearInterval(pace);
    const deadline = performance.now() + finishMs;
    while (this.inFlight > 0 && performance.now() < deadline) await pause(5);
    tell({ kind: 'finished', acknowledged: this.acknowledged });
  }

  stop(): void {
    this.endEarly();
  }

  private issue(lane: Lane, dueMs: number): void {
    if (this.stopping) return;
    this.inFlight += 1;
    lane.run(this.workload.next(this.random), (error) => {
      this.inFlight -= 1;
      if (error === null) this.succeeded(dueMs);
      else this.failed(error);
      if (error !== null) setTimeout(() => this.free(lane), restMs);
      else this.free(lane);
    });
  }

  private free(lane: Lane): void {
    const next = this.plan.perSecond === null ? performance.now() : this.due.shift();
    if (next === undefined) this.idle.push(lane);
    else this.issue(lane, next);
  }

  private succeeded(dueMs: number): void {
    this.acknowledged += 1;
    if (!this.measuring) return;
    const now = performance.now();
    this.latency.record((now - dueMs) * 1_000);
    this.longestGapMs = Math.max(this.longestGapMs, now - this.lastAnswerMs);
    this.lastAnswerMs = now;
  }

  private failed(error: string): void {
    if (!this.measuring) return;
    this.errors += 1;
    this.firstError ??= error;
  }

  /** Transactions come due by the clock, whether or not earlier ones have been answered: a stall is not left out of the latencies. */
  private pace(perSecond: number): NodeJS.Timeout {
    this.idle.push(...this.lanes);
    const startMs = performance.now();
    let issued = 0;
    return setInterval(() => {
      const now = performance.now();
      // The first is due at once.
      const wanted = 1 + Math.floor(((now - startMs) * perSecond) / 1_000);
      for (; issued < wanted; issued++) {
        const dueMs = startMs + (issued * 1_000) / perSecond;
        const lane = this.idle.pop();
        if (lane === undefined) this.due.push(dueMs);
        else this.issue(lane, dueMs);
      }
    }, 1);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function openWires(plan: LoadPlan): Promise<readonly Wire[]> {
  const connect = connects[plan.target.protocol];
  const wires: Wire[] = [];
  while (wires.length < plan.connections) {
    const count = Math.min(openAtOnce, plan.connections - wires.length);
    const opened = Array.from({ length: count }, () =>
      connect({ ...plan.target, workload: workloads[plan.workload], streams: plan.streams }),
    );
    wires.push(...(await Promise.all(opened)));
  }
  return wires;
}

let running: Generator | null = null;
let open: readonly Wire[] = [];
process.on('message', (message: ToLoad) => {
  switch (message.kind) {
    case 'plan':
      openWires(message.plan)
        .then((wires) => {
          open = wires;
          running = new Generator(
            message.plan,
            wires.flatMap(({ lanes }) => lanes),
          );
          return running.run();
        })
        .catch((error: unknown) => tell({ kind: 'failed', message: String(error) }));
      return;
    case 'stop':
      running?.stop();
      return;
    case 'rest':
      for (const wire of open) wire.close();
      open = [];
      running = null;
      return;
  }
});
// The benchmark has its figures, or is gone.
process.once('disconnect', () => process.exit(0));
