/** A gateway's way to the supervisor that runs drills: three questions over the control socket. */
import { z } from 'zod';
import { callSupervisor } from '../../local/control-socket.ts';
import { type DrillRequest, deskStartMs } from '../core/drill-kinds.ts';
import {
  type DrillAnswer,
  type DrillSummary,
  drillAnswerSchema,
  drillSummarySchema,
} from '../core/drill-report.ts';

const refusalSchema = z.object({ code: z.string(), message: z.string() });
const askMs = 3_000;
const slackMs = 5_000;

type Refused<S extends number> = {
  readonly status: S;
  readonly error: { readonly code: string; readonly message: string };
};

export interface DrillLink {
  list(): Promise<
    { readonly status: 200; readonly body: { readonly drills: readonly DrillSummary[] } } | Refused<503>
  >;
  start(
    request: DrillRequest,
  ): Promise<{ readonly status: 202; readonly body: DrillAnswer } | Refused<409 | 503>>;
  show(id: string): Promise<{ readonly status: 200; readonly body: DrillAnswer } | Refused<404 | 503>>;
}

const silent: Refused<503> = {
  status: 503,
  error: {
    code: 'SUPERVISOR_UNREACHABLE',
    message: 'The supervisor of this deployment does not answer: `sextant up` starts it.',
  },
};

/** @param socket the control socket of the supervisor. */
export function drillLink(socket: string): DrillLink {
  const drillOf = async (
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number,
  ): Promise<{ readonly drill: DrillAnswer } | { readonly refused: Refused<503>['error'] } | null> => {
    const answer = await callSupervisor(socket, method, path, body, timeoutMs);
    const drill = drillAnswerSchema.safeParse(answer);
    if (drill.success) return { drill: drill.data };
    const refused = refusalSchema.safeParse(answer);
    return refused.success ? { refused: refused.data } : null;
  };
  return {
    async list() {
      const schema = z.object({ drills: z.array(drillSummarySchema) });
      const answer = schema.safeParse(await callSupervisor(socket, 'GET', '/drills', undefined, askMs));
      return answer.success ? { status: 200, body: answer.data } : silent;
    },
    async start(request) {
      const answer = await drillOf('POST', '/drills', request, deskStartMs + slackMs);
      if (answer === null) return silent;
      return 'drill' in answer ? { status: 202, body: answer.drill } : { status: 409, error: answer.refused };
    },
    async show(id) {
      const answer = await drillOf('GET', `/drills/${encodeURIComponent(id)}`, undefined, askMs);
      if (answer === null) return silent;
      return 'drill' in answer ? { status: 200, body: answer.drill } : { status: 404, error: answer.refused };
    },
  };
}
