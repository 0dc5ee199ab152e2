/** What refuses, in tests of relays, and what is seen of it on either side. */
import { type Done, packet } from '../../support/mysql-play.ts'
import { REFUSAL, relayOptions } from './relay-setting.ts'

export const events = (done: readonly Done[], type: string) => done.filter(({ event }) => event === type)
export const sent = (done: readonly Done[], to: 'client' | 'target') =>
  done
    .filter((one) => one.to === to)
    .map((one) => one.hex)
    .join('')
export const judge = (sql: string) => (/delete/i.test(sql) ? REFUSAL : undefined)
export const judged = relayOptions({ judge: true })

/** What the person reads, naming the record of the decision. */
export const refusal = (sequence: number, record: string) =>
  packet(
    sequence,
    0xff,
    0x76,
    0x04,
    `#42000no bare DELETE\nwhy : DELETE needs a WHERE here\nnext: add one\nid  : ${record}`,
  )
export const SUBSTITUTE = '* gatebook refused this statement *'

export const META = { database: 'shop', transaction: 'none', charset: 'utf8mb4', pid: 4711 }
