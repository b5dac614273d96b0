/**
 * Same epoch, same LSN, same bytes, on every node and in every region.
 *
 * 1. Frames of one (epoch, base) have one end, one PG and one checksum wherever they are seen.
 * 2. Frames of one epoch do not overlap: a byte position belongs to one record.
 * 3. A page read at one (head epoch, read point) has one content, whoever answers.
 */
import { ascending, type Epoch, type Lsn, type PageNo, type PgId } from '../../../storage/redo/ids.ts';
import type { Judge } from './judge.ts';

export type SeenFrame = {
  /** Who has it, such as `us-east-1/n1`. */
  readonly at: string;
  readonly epoch: Epoch;
  readonly pg: PgId;
  readonly base: Lsn;
  readonly end: Lsn;
  readonly crc: number;
};

export type SeenPage = {
  readonly at: string;
  readonly head: Epoch;
  readonly readPoint: Lsn;
  readonly page: PageNo;
  readonly crc: number;
};

export class AgreementJudge implements Judge {
  readonly name = 'agreement';
  readonly verdict = 'correctness';
  private readonly frames = new Map<Epoch, Map<Lsn, SeenFrame>>();
  private readonly pages = new Map<string, SeenPage>();
  private readonly differences: string[] = [];

  /** A frame lies on a disk, or passed on a wire. */
  frame(seen: SeenFrame): void {
    let ofEpoch = this.frames.get(seen.epoch);
    if (ofEpoch === undefined) {
      ofEpoch = new Map();
      this.frames.set(seen.epoch, ofEpoch);
    }
    const first = ofEpoch.get(seen.base);
    if (first === undefined) {
      ofEpoch.set(seen.base, seen);
    } else if (first.end !== seen.end || first.pg !== seen.pg || first.crc !== seen.crc) {
      this.differences.push(
        `frame (${seen.epoch}, ${seen.base}) differs: ${first.at} has PG ${first.pg} to ${first.end} crc ${first.crc}, ` +
          `${seen.at} has PG ${seen.pg} to ${seen.end} crc ${seen.crc}`,
      );
    }
  }

  /** A page was read. */
  page(seen: SeenPage): void {
    const key = `${seen.head} ${seen.readPoint} ${seen.page}`;
    const first = this.pages.get(key);
    if (first === undefined) this.pages.set(key, seen);
    else if (first.crc !== seen.crc) {
      this.differences.push(
        `page ${seen.page} at (${seen.head}, ${seen.readPoint}) differs: ` +
          `${first.at} crc ${first.crc}, ${seen.at} crc ${seen.crc}`,
      );
    }
  }

  violations(): readonly string[] {
    return [...this.differences, ...[...this.frames].flatMap(([, ofEpoch]) => overlaps(ofEpoch))];
  }
}

function overlaps(ofEpoch: ReadonlyMap<Lsn, SeenFrame>): readonly string[] {
  const found: string[] = [];
  let previous: SeenFrame | undefined;
  for (const frame of [...ofEpoch.values()].sort((left, right) => ascending(left.base, right.base))) {
    if (previous !== undefined && frame.base < previous.end) {
      found.push(
        `frames of epoch ${frame.epoch} overlap: ${previous.at} has [${previous.base}, ${previous.end}), ` +
          `${frame.at} has [${frame.base}, ${frame.end})`,
      );
    }
    if (previous === undefined || frame.end > previous.end) previous = frame;
  }
  return found;
}
