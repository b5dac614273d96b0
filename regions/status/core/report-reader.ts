/** Reads reports. One that is the same as before, as most are while nothing happens, is not read again. */
import { parseJson } from '../../bus/core/messages.ts';
import { type Report, reportSchema } from './report.ts';

/** Texts that are remembered: more than there are agents and gateways in a deployment, as a rule. */
const rememberedMax = 64;

export class ReportReader {
  private readonly known = new Map<string, Report>();

  /** @returns null when it is no report. */
  read(text: string): Report | null {
    const before = this.known.get(text);
    if (before !== undefined) return before;
    const parsed = parseJson(reportSchema, text);
    if (parsed.kind !== 'ok') return null;
    const [oldest] = this.known.keys();
    if (oldest !== undefined && this.known.size >= rememberedMax) this.known.delete(oldest);
    this.known.set(text, parsed.value);
    return parsed.value;
  }
}
