/** The demo's database: a small shop, an account that may do everything in it, and one that may only read. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'

export interface Shop {
  readonly database: string
  readonly usual: { readonly user: string; readonly password: string }
  readonly readOnly: { readonly user: string; readonly password: string }
}

export async function seedShop(server: { readonly port: number; readonly password: string }): Promise<Shop> {
  const connection = { host: '127.0.0.1', port: server.port, user: 'postgres', password: server.password }
  const account = (user: string) => ({ user, password: randomBytes(18).toString('base64url') })
  const shop: Shop = { database: 'shop', usual: account('gatebook_app'), readOnly: account('gatebook_ro') }
  await run({ ...connection, database: 'postgres' }, [
    `CREATE ROLE ${shop.usual.user} LOGIN PASSWORD '${shop.usual.password}'`,
    `CREATE ROLE ${shop.readOnly.user} LOGIN PASSWORD '${shop.readOnly.password}'`,
    `CREATE DATABASE ${shop.database} OWNER ${shop.usual.user}`,
  ])
  await run({ ...connection, database: shop.database, ...shop.usual }, SEED)
  await run({ ...connection, database: shop.database }, [
    'REVOKE EXECUTE ON FUNCTION lo_creat(int), lo_create(oid), lo_from_bytea(oid, bytea), lo_put(oid, bigint, bytea), lowrite(int, bytea) FROM PUBLIC',
    `GRANT EXECUTE ON FUNCTION lo_creat(int), lo_create(oid), lo_from_bytea(oid, bytea), lo_put(oid, bigint, bytea), lowrite(int, bytea) TO ${shop.usual.user}`,
    `GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${shop.readOnly.user}`,
  ])
  return shop
}

async function run(config: pg.ClientConfig, statements: readonly string[]): Promise<void> {
  const client = new pg.Client(config)
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

const SEED = [
  'CREATE TABLE products (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL, price numeric(10,2) NOT NULL)',
  'CREATE TABLE customers (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL, email text NOT NULL UNIQUE)',
  `CREATE TABLE payments (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, customer int NOT NULL REFERENCES customers,
     product int NOT NULL REFERENCES products, paid timestamptz NOT NULL DEFAULT now())`,
  "INSERT INTO products (name, price) VALUES ('ink', 4.50), ('paper', 3.20), ('ledger', 18.00)",
  `INSERT INTO customers (name, email)
     SELECT 'customer ' || n, 'customer' || n || '@example.com' FROM generate_series(1, 50) n`,
  'INSERT INTO payments (customer, product) SELECT 1 + n % 50, 1 + n % 3 FROM generate_series(1, 500) n',
]
