/** etcd through its HTTP/JSON gateway: an UPDATE puts a key that exists, an INSERT a new one, a SELECT gets one. */
import { dialHttp, type HttpAnswer } from './http.ts';
import type { Connect } from './socket.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const keyOf = (id: number): string => `bench/${String(id).padStart(8, '0')}`;
const pad = 'x'.repeat(84);
let inserted = 0;

const put = (key: string, value: string): string => `{"key":"${base64(key)}","value":"${base64(value)}"}`;

/** `query` takes `put <first> <last>`, which is all that setting up needs. */
export const connectEtcd: Connect = async (options) => {
  const line = await dialHttp(options);
  const post = async (path: string, body: string): Promise<string> => {
    line.post(path, body);
    const answer = await line.waiting.next();
    if (answer.status !== 200)
      throw new Error(`etcd answered ${answer.status}: ${answer.body.slice(0, 200)}`);
    return answer.body;
  };
  const nonce = `${process.pid}-${Math.floor(Math.random() * 1e9)}`;
  const name = options.workload?.name;
  return {
    lanes: [
      {
        run: (params, done) => {
          line.waiting.expect((answer: HttpAnswer | Error) => {
            if (answer instanceof Error) done(answer.message);
            else done(answer.status === 200 ? null : `${answer.status}: ${answer.body.slice(0, 200)}`);
          });
          const [id = 0] = params[0] ?? [];
          if (name === 'select') line.post('/v3/kv/range', `{"key":"${base64(keyOf(id))}"}`);
          else if (name === 'insert')
            line.post(
              '/v3/kv/put',
              put(`journal/${nonce}/${++inserted}`, `${id} forty characters of text in every new row`),
            );
          else line.post('/v3/kv/put', put(keyOf(id), `${Math.floor(Math.random() * 1e9)} ${pad}`));
        },
      },
    ],
    query: async (text) => {
      const [, first = '1', last = '0'] = text.split(' ');
      const puts: string[] = [];
      for (let id = Number(first); id <= Number(last); id++)
        puts.push(`{"requestPut":${put(keyOf(id), `0 ${pad}`)}}`);
      await post('/v3/kv/txn', `{"success":[${puts.join(',')}]}`);
      return null;
    },
    close: () => line.close(),
  };
};
