/** Says in the log how far a large commit is, while a client waits for it. */
import { everyBeside, type Lsn, monotonicMs } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { LargeCommitWatch } from './core/large-commit.ts';

const lookEveryMs = 1_000;

/** What of a volume is looked at. */
interface Watched {
  readonly standing: { readonly lastLsn: Lsn; readonly vcl: Lsn; readonly vdl: Lsn } | null;
}

/** @returns a function that ends it. */
export function tellLargeCommits(volume: Watched, log: Logger): () => void {
  const watch = new LargeCommitWatch();
  return everyBeside(lookEveryMs, () => {
    const news = watch.look(volume.standing, monotonicMs());
    if (news === null) return;
    const { bytes, storedBytes, forMs } = news;
    const about = { bytes, storedBytes, forMs: Math.round(forMs) };
    if (news.kind === 'durable') log.info(about, 'the large commit is durable');
    else log.info(about, `a large commit is ${Math.floor((100 * storedBytes) / bytes)} % on four nodes`);
  });
}
