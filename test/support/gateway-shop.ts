/** A server's shop database as targets of a gateway: `orders` as the demo has it, `admin` as the superuser. */
import { seedShop } from '../../src/cli/demo/shop.ts'
import { type GatewayOptions, PASSWORD } from './gateway.ts'
import type { PostgresServer } from './postgres-server.ts'

export type Shop = Pick<GatewayOptions, 'targets' | 'files'>

export interface TargetTls {
  readonly mode: string
  readonly ca?: string
}

export async function openShop(
  server: Pick<PostgresServer, 'port' | 'superuser' | 'password'>,
  tls: TargetTls = { mode: 'disable' },
): Promise<Shop> {
  const shop = await seedShop(server)
  const ca = tls.ca === undefined ? '' : ', ca: target-ca.pem'
  const target = (name: string, user: string, password: string): string =>
    [
      `${name}:`,
      '  type: postgres',
      `  address: 127.0.0.1:${server.port}`,
      '  database: shop',
      `  tls: { mode: ${tls.mode}${ca} }`,
      `  credentials: { user: ${user}, password: "file:${password}" }`,
      '  read_only_credentials: { user: gatebook_ro, password: "file:reader.password" }',
    ].join('\n')
  return {
    targets: [
      target('orders', shop.usual.user, 'app.password'),
      target('admin', server.superuser, 'superuser.password'),
    ].join('\n'),
    files: {
      'app.password': shop.usual.password,
      'reader.password': shop.readOnly.password,
      'superuser.password': server.password,
      ...(tls.ca === undefined ? {} : { 'target-ca.pem': tls.ca }),
    },
  }
}

/** How alice logs in to a target of the gateway's. */
export function as(user: string, port: number): { port: number; user: string; password: string } {
  return { port, user, password: PASSWORD }
}
