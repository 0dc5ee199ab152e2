/** What a benchmark says: a figure with its spread, beside the figure it was compared with in the same rounds. */

export interface Figure {
  readonly suite: string
  readonly system: string
  readonly workload: string
  readonly clients: number
  readonly metric: string
  /** The median of the rounds. */
  readonly value: number
  /** The middle half of the rounds, as a share of the median. */
  readonly spread: number
  /** What it was compared with, round by round. */
  readonly vs?: string
  /** The median of the rounds' ratios; null where they disagree too much to say one. */
  readonly ratio?: number | null
}

/** Above this the rounds disagree, and a ratio of their medians would be chance. */
export const SPREAD_MAX = 0.25

/** Rounds of one system: the same metrics each time. */
export type Round = Readonly<Record<string, number>>

export interface Compared {
  readonly system: string
  readonly rounds: readonly Round[]
}

/** The figures of `system`, metric by metric, each beside those of the others that measured the same. */
export function compare(
  facts: Pick<Figure, 'suite' | 'workload' | 'clients'>,
  { system, rounds }: Compared,
  others: readonly Compared[] = [],
): Figure[] {
  const figures: Figure[] = []
  for (const metric of Object.keys(rounds[0] ?? {})) {
    const values = rounds.map((round) => round[metric] ?? Number.NaN)
    const base = { ...facts, system, metric, value: quantile(values, 0.5), spread: spreadOf(values) }
    const rivals = others.filter((other) => other.rounds.every((round) => round[metric] !== undefined))
    if (rivals.length === 0) figures.push(base)
    for (const rival of rivals) {
      const ratios = values.map((value, k) => value / (rival.rounds[k]?.[metric] ?? Number.NaN))
      const ratio = spreadOf(ratios) <= SPREAD_MAX ? quantile(ratios, 0.5) : null
      figures.push({ ...base, vs: rival.system, ratio })
    }
  }
  return figures
}

/** Linear between the two values nearest to the place. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * share
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? Number.NaN
  return low + (high - low) * (at - Math.floor(at))
}

function spreadOf(values: readonly number[]): number {
  const median = quantile(values, 0.5)
  return median === 0 ? 0 : (quantile(values, 0.75) - quantile(values, 0.25)) / median
}

export function asLine(figure: Figure): string {
  const { system, workload, clients, metric, value, spread, vs, ratio } = figure
  const left = [
    system.padEnd(18),
    workload.padEnd(22),
    (clients === 0 ? '' : String(clients)).padStart(4),
    metric.padEnd(26),
  ].join('  ')
  const middle = `${amount(value).padStart(12)}  ±${String(Math.round(spread * 50)).padStart(2)} %`
  if (vs === undefined) return `${left}  ${middle}`
  const right = ratio === null || ratio === undefined ? 'rounds disagree' : `${ratio.toFixed(2)} of`
  return `${left}  ${middle}   ${right} ${vs}`
}

function amount(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en')
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)
}
