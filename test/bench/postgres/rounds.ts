/** Takes turns among what is compared, so that what disturbs the machine disturbs all of it. */
import { compare, type Figure, type Round } from '../figures.ts'
import type { Bench } from './systems.ts'

export interface Place {
  readonly bench: Bench
  readonly quick: boolean
  /** Where the picture goes, if one is wanted. */
  readonly svg?: string
  readonly print: (figure: Figure) => void
}

export interface Measured {
  readonly system: string
  readonly rounds: readonly Round[]
}

export async function takeTurns<System extends { readonly name: string }>(
  { quick }: Pick<Place, 'quick'>,
  systems: readonly System[],
  run: (system: System) => Promise<Round>,
): Promise<Measured[]> {
  const measured = systems.map(({ name }) => ({ system: name, rounds: [] as Round[] }))
  for (let round = 0; round < (quick ? 1 : 5); round++) {
    for (const [k, system] of systems.entries()) measured[k]?.rounds.push(await run(system))
  }
  return measured
}

/** Beside what each is compared: pgbouncer unless told. */
export function tell(
  { print }: Pick<Place, 'print'>,
  facts: Pick<Figure, 'suite' | 'workload' | 'clients'>,
  measured: readonly Measured[],
  rivals: (system: string) => readonly string[] = () => ['pgbouncer'],
): void {
  for (const one of measured) {
    const others = measured.filter(
      ({ system }) => system !== one.system && rivals(one.system).includes(system),
    )
    for (const figure of compare(facts, one, others)) print(figure)
  }
}
