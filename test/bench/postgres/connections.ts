/** `postgres.connections`: connect, one query, disconnect, over and over, with SCRAM on both sides. */
import type { Round } from '../figures.ts'
import { prepareTables, runPgbench } from './pgbench.ts'
import { type Place, takeTurns, tell } from './rounds.ts'
import type { System } from './systems.ts'

const CLIENTS = 8

export async function measureConnections(place: Place): Promise<void> {
  const { bench, quick } = place
  prepareTables(bench.direct, 1)
  for (const tls of [false, true]) {
    const shared = await bench.start('pgbouncer', { tlsToServer: tls })
    // In session mode pgbouncer lends a connection that stands already; the gateway never lends one to a second person.
    const unshared = await bench.start('pgbouncer', { tlsToServer: tls, unshared: true })
    const systems = [
      bench.direct,
      await bench.start('haproxy'),
      shared,
      { ...unshared, name: 'pgbouncer, each its own' },
      await bench.start('gateway-standard', { tlsToServer: tls }),
    ]
    const load = {
      args: ['-S', '-M', 'simple', '-C'],
      clients: CLIENTS,
      seconds: quick ? 2 : 4,
      folder: bench.folder,
      tls,
    }
    const run = (system: System): Promise<Round> => runPgbench(system, load)
    const measured = await takeTurns(place, systems, run)
    const workload = tls ? 'connect-tls' : 'connect'
    const rivals = ['pgbouncer', 'pgbouncer, each its own']
    tell(place, { suite: 'postgres', workload, clients: CLIENTS }, measured, () => rivals)
    for (const system of [...systems, unshared]) await bench.stop(system)
  }
}
