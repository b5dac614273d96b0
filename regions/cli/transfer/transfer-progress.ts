/** Shows how an import or an export gets on: one line on a terminal, a line now and then elsewhere, JSON lines where asked for. */
import { progressFigures } from '../../transfer/core/progress.ts';
import { formatBytes, formatMs, note } from '../ask/output.ts';

/** What there is to show. `rows` are null where only bytes are counted. */
export interface TransferSight {
  readonly what: string;
  readonly bytes: number;
  readonly ofBytes: number;
  readonly rows: number | null;
  readonly ofRows: number | null;
}

const everyMs = { terminal: 200, file: 10_000, json: 1_000 } as const;

export class TransferProgress {
  private readonly json: ((line: object) => void) | null;
  private readonly isTerminal = process.stderr.isTTY === true;
  private readonly sinceMs = performance.now();
  private what = '';
  private phaseSinceMs = this.sinceMs;
  private phaseBytes = 0;
  private shownAtMs = this.sinceMs;
  private isLineOpen = false;

  /** @param json takes JSON lines instead; null shows text on stderr. */
  constructor(json: ((line: object) => void) | null) {
    this.json = json;
  }

  get elapsedMs(): number {
    return performance.now() - this.sinceMs;
  }

  /** @param phase its rate is measured from where it began: work that was found done counts for none. */
  show(phase: string, sight: TransferSight): void {
    const now = performance.now();
    if (phase !== this.what) {
      this.what = phase;
      this.phaseSinceMs = now;
      this.phaseBytes = sight.bytes;
    }
    const every = this.json !== null ? everyMs.json : this.isTerminal ? everyMs.terminal : everyMs.file;
    if (now - this.shownAtMs < every) return;
    this.shownAtMs = now;
    const figures = progressFigures({
      bytes: sight.bytes - this.phaseBytes,
      ofBytes: sight.ofBytes - this.phaseBytes,
      elapsedMs: now - this.phaseSinceMs,
    });
    const { bytesPerSecond, remainingMs } = figures;
    if (this.json !== null) {
      this.json({ event: 'progress', phase, ...sight, bytesPerSecond, remainingMs });
      return;
    }
    const share = sight.ofBytes === 0 ? '' : `${Math.floor((100 * sight.bytes) / sight.ofBytes)} %, `;
    const rows = sight.rows === null ? '' : `, ${sight.rows} of ${sight.ofRows ?? '?'} rows`;
    const left = remainingMs === null ? '' : `, ${formatMs(remainingMs)} left`;
    const rate = bytesPerSecond === 0 ? '' : `, ${formatBytes(bytesPerSecond)}/s`;
    const size = sight.ofBytes === 0 ? '' : `${formatBytes(sight.bytes)} of ${formatBytes(sight.ofBytes)}`;
    this.line(`${phase}: ${share}${size}${rows}${rate}${left}${sight.what === '' ? '' : ` (${sight.what})`}`);
  }

  /** Something beside the progress. */
  say(text: string): void {
    if (this.json !== null) {
      this.json({ event: 'note', text });
      return;
    }
    this.end();
    note(text);
  }

  /** Leaves the line as it is. */
  end(): void {
    if (this.isLineOpen) process.stderr.write('\r\u001b[K');
    this.isLineOpen = false;
  }

  private line(text: string): void {
    if (!this.isTerminal) {
      note(text);
      return;
    }
    const width = process.stderr.columns ?? 80;
    process.stderr.write(`\r\u001b[K${text.slice(0, width - 1)}`);
    this.isLineOpen = true;
  }
}
