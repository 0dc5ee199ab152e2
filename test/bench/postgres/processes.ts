/** `postgres.processes`: one gateway process for all clients, or two that share them, each with a book of its own. */
import type { Round } from '../figures.ts'
import { prepareTables, runPgbench } from './pgbench.ts'
import { type Place, takeTurns, tell } from './rounds.ts'
import type { System } from './systems.ts'

const CLIENTS = 32
const WARM_UP_SECONDS = 4
const ARGS = ['-S', '-M', 'prepared']

export async function measureProcesses(place: Place): Promise<void> {
  const { bench, quick } = place
  const { folder } = bench
  prepareTables(bench.direct, 1)
  for (const name of ['gateway-off', 'gateway-relaxed', 'gateway-standard'] as const) {
    const systems = [await bench.start(name), await bench.start(name)]
    const load = (seconds: number) => async (sharing: readonly System[]) => {
      const clients = CLIENTS / sharing.length
      return together(
        await Promise.all(sharing.map((one) => runPgbench(one, { args: ARGS, clients, seconds, folder }))),
      )
    }
    await load(WARM_UP_SECONDS)(systems)
    const ways = [
      { name, sharing: systems.slice(0, 1) },
      { name: `${name}, two processes`, sharing: systems },
    ]
    const measured = await takeTurns(place, ways, ({ sharing }) => load(quick ? 2 : 4)(sharing))
    tell(place, { suite: 'postgres', workload: 'processes', clients: CLIENTS }, measured, () => [name])
    for (const system of systems) await bench.stop(system)
  }
}

/** Transactions add up; what one of them costs is that of all. */
function together(rounds: readonly Round[]): Round {
  const tps = rounds.reduce((sum, round) => sum + (round['tps'] ?? 0), 0)
  const micros = rounds.reduce((sum, round) => sum + (round['tps'] ?? 0) * (round['cpu us/tx'] ?? 0), 0)
  return { tps, 'cpu us/tx': micros / tps }
}
