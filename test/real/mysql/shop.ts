/** A MariaDB server's database as a gateway's targets `shop`, with a policy, and `free`, each with a listener. */
import type { GatewayOptions } from '../../support/gateway.ts'
import type { Server } from './server.ts'

export function shopBehindGateway({
  port,
}: Pick<Server, 'port'>): Required<Pick<GatewayOptions, 'targets' | 'files' | 'changes'>> {
  const target = (name: string, labels: string, files = false): string => `${name}:
  type: mysql
  address: "127.0.0.1:${port}"
  database: shop
  tls: { mode: disable }
  credentials: { user: app, password: "file:app.password" }
  read_only_credentials: { user: reader, password: "file:reader.password" }
  local_infile: ${files}
  labels: { ${labels} }`
  return {
    targets: [target('shop', 'guarded: "yes"'), target('free', '', true)].join('\n'),
    files: { 'app.password': 'app secret\n', 'reader.password': 'reader secret\n' },
    changes: [
      [
        'listeners:\n',
        'listeners:\n  mariadb: { type: mysql, address: "127.0.0.1:0", require_tls: false, family: mariadb, target: shop }\n  free: { type: mysql, address: "127.0.0.1:0", require_tls: false, family: mariadb, target: free }\n  shared: { type: mysql, address: "127.0.0.1:0", require_tls: true, family: mysql, version: 8.4.6 }\n  shared-mariadb: { type: mysql, address: "127.0.0.1:0", require_tls: true, family: mariadb, version: 5.5.5-11.4.2-MariaDB }\n',
      ],
      [
        'policies: []',
        'policies:\n  - { id: no-bare-delete, when: { labels: { guarded: "yes" }, verb: [DELETE], where: none }, then: deny, message: A WHERE is needed. }',
      ],
    ],
  }
}
