/**
 * After healing everything meets. Within `withinUs` of the moment of healing every expected region reports the same head
 * epoch and the same VDL, that point is not behind any region's at the moment of healing, and every region
 * that clients were to write through has had a write acknowledged after it.
 *
 * Writers must stop before the positions can meet: tell `quiet` when the last write was sent.
 */
import type { Epoch, Lsn } from '../../../storage/redo/ids.ts';
import type { Judge } from './judge.ts';

type Point = { readonly epoch: Epoch; readonly vdl: Lsn };

const isBehind = (left: Point, right: Point): boolean =>
  left.epoch < right.epoch || (left.epoch === right.epoch && left.vdl < right.vdl);

const print = (point: Point | undefined): string =>
  point === undefined ? 'silent' : `(${point.epoch}, ${point.vdl})`;

export class ConvergenceJudge implements Judge {
  readonly name = 'convergence';
  readonly verdict = 'liveness';
  private readonly withinUs: number;
  private readonly points = new Map<string, Point>();
  private readonly progressed = new Set<string>();
  private healed:
    | { readonly atUs: number; readonly regions: readonly string[]; readonly floor: Point | undefined }
    | undefined;
  private quietSince: number | undefined;
  private metAtUs: number | undefined;
  private lastUs = 0;

  constructor(withinUs: number) {
    this.withinUs = withinUs;
  }

  /** Faults are over; `regions` live and are expected to meet. */
  heal(atUs: number, regions: readonly string[]): void {
    let floor: Point | undefined;
    for (const region of regions) {
      const point = this.points.get(region);
      if (point !== undefined && (floor === undefined || isBehind(floor, point))) floor = point;
    }
    this.healed = { atUs, regions: [...regions], floor };
    this.lastUs = atUs;
    this.metAtUs = undefined;
    this.progressed.clear();
  }

  /** A region says what is durable in it. */
  position(atUs: number, region: string, epoch: Epoch, vdl: Lsn): void {
    this.points.set(region, { epoch, vdl });
    this.look(atUs);
  }

  /** A write sent after healing through a gateway of `region` was acknowledged. */
  progress(atUs: number, region: string): void {
    if (this.healed !== undefined) this.progressed.add(region);
    this.look(atUs);
  }

  /** Was a write acknowledged in `region` after healing? */
  hasProgressed(region: string): boolean {
    return this.progressed.has(region);
  }

  /** No more writes are sent. */
  quiet(atUs: number): void {
    this.quietSince = atUs;
    this.look(atUs);
  }

  /** The end of the run, when nothing else was said. */
  finish(atUs: number): void {
    this.look(atUs);
  }

  /** Did all meet? A predicate for `World.runUntil`. */
  converged(): boolean {
    return this.metAtUs !== undefined;
  }

  violations(): readonly string[] {
    const { healed } = this;
    if (healed === undefined) return ['the run was never healed'];
    if (this.metAtUs !== undefined && this.metAtUs - healed.atUs <= this.withinUs) return [];
    const regions = healed.regions.map((region) => {
      const writes = this.progressed.has(region) ? '' : ', no write acknowledged since';
      return `${region} ${print(this.points.get(region))}${writes}`;
    });
    const took =
      this.metAtUs === undefined
        ? `had not converged ${this.lastUs - healed.atUs} us after healing`
        : `converged only ${this.metAtUs - healed.atUs} us after healing`;
    return [`${took} (${this.withinUs} allowed): ${regions.join('; ')}`];
  }

  private look(atUs: number): void {
    this.lastUs = Math.max(this.lastUs, atUs);
    const { healed } = this;
    if (healed === undefined || this.quietSince === undefined || this.metAtUs !== undefined) return;
    if (healed.regions.some((region) => !this.progressed.has(region))) return;
    const points = healed.regions.map((region) => this.points.get(region));
    const [first] = points;
    if (first === undefined) return;
    const same = points.every((point) => point?.epoch === first.epoch && point.vdl === first.vdl);
    if (!same || (healed.floor !== undefined && isBehind(first, healed.floor))) return;
    this.metAtUs = atUs;
  }
}
