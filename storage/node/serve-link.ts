/** One link at a node: requests to its runtime, answers back, and what happens when either side has enough. */
import type { Logger } from '../../telemetry/index.ts';
import { plainBytes } from '../redo/bytes.ts';
import { decodeRequest } from '../wire/core/message-codec.ts';
import type { StorageReply } from '../wire/core/messages.ts';
import { unscoped } from '../wire/core/scoped-message.ts';
import type { LinkConnection, LinkHandlers } from '../wire/link-connection.ts';
import { LinkRpc } from '../wire/link-rpc.ts';
import { encodeReplyBody } from '../wire/storage-client.ts';
import type { Caller } from './core/node-events.ts';
import type { NodeRuntime } from './node-runtime.ts';

/** Requests of one link that may be under way. */
const requestsPerLinkMax = 8_192;

/** Answers what comes over a link. @returns what the link's owner has to call. */
export function serveLink(
  runtime: NodeRuntime,
  link: Pick<LinkConnection, 'send' | 'close'>,
  logger: Logger,
): LinkHandlers {
  const waiting = new Set<Caller>();
  const rpc = new LinkRpc({
    send: (message) => link.send(message),
    onRequest: (kind, body, reply) => {
      const message = unscoped(kind, plainBytes(body));
      const decoded =
        message === null
          ? ({ kind: 'malformed', reason: 'a request shorter than its membership epoch' } as const)
          : decodeRequest(message.kind, message.body);
      if (decoded.kind === 'malformed') {
        reply(
          encodeReplyBody({
            kind: 'refused',
            code: 'BAD_REQUEST',
            reason: decoded.reason,
            sealed: runtime.sealed,
          }),
        );
        return true;
      }
      if (waiting.size >= requestsPerLinkMax) {
        const reason = `${requestsPerLinkMax} requests of this link are under way`;
        reply(encodeReplyBody({ kind: 'refused', code: 'OVERLOADED', reason, sealed: runtime.sealed }));
        return true;
      }
      const mine: { caller: Caller | null } = { caller: null };
      const answered = (answer: StorageReply): void => {
        if (mine.caller !== null) waiting.delete(mine.caller);
        reply(encodeReplyBody(answer));
      };
      mine.caller = runtime.request(decoded.message, answered, message?.members);
      if (mine.caller !== null) waiting.add(mine.caller);
      return true;
    },
    onNotice: (kind, body) => {
      const message = unscoped(kind, plainBytes(body));
      if (message === null) return;
      const decoded = decodeRequest(message.kind, message.body);
      if (decoded.kind === 'message') runtime.request(decoded.message, null, message.members);
    },
    pendingMax: 1,
  });
  return {
    onMessage: (bytes) => {
      if (rpc.receive(bytes)) return;
      logger.warn('a link sent a malformed message and is closed');
      link.close();
    },
    onClose: () => {
      rpc.linkClosed();
      for (const caller of waiting) runtime.callerGone(caller);
      waiting.clear();
    },
  };
}
