/** SQL that the front end gives the engine in place of a client's, where that would act on all clients or where it has to fail. Pure. */
import type { Report } from '../../protocol/core/server-messages.ts';

/** Does nothing, also in a transaction that only reads; in a failed one it fails as anything does. */
export const nothingText = 'DO LANGUAGE plpgsql $sextant$BEGIN END$sextant$';

/** A literal that means the same under every setting. A dollar sign would end the quote around it. */
function literal(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll("'", "''")
    .replaceAll('$', '\\x24')
    .replaceAll('\0', '');
  return `E'${escaped}'`;
}

/** Fails with the report: so the engine's transaction is as failed as the client is told. */
export function failingText({ code, message, detail, hint }: Report): string {
  const options = [`ERRCODE = ${literal(code)}`, `MESSAGE = ${literal(message)}`];
  if (detail !== undefined) options.push(`DETAIL = ${literal(detail)}`);
  if (hint !== undefined) options.push(`HINT = ${literal(hint)}`);
  return `DO LANGUAGE plpgsql $sextant$BEGIN RAISE EXCEPTION USING ${options.join(', ')}; END$sextant$`;
}

/** Gives settings their values for the session, after all others have their defaults or not, and answers nothing. */
export function settingsText(resetsAll: boolean, settings: Readonly<Record<string, string>>): string {
  const sets = Object.entries(settings).map(
    ([name, value]) => `PERFORM pg_catalog.set_config(${literal(name)}, ${literal(value)}, false);`,
  );
  const body = [...(resetsAll ? ['RESET ALL;'] : []), ...sets].join(' ');
  // A comment is enough for those who look for changes of settings in the text.
  return `DO LANGUAGE plpgsql $sextant$BEGIN ${body} END /* set_config */$sextant$`;
}
