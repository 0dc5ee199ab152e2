/** Figures for a monitoring system, as OpenMetrics 1.0 text. They say how the gateway fares, never who did what. */

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

export interface Metric {
  readonly name: string
  readonly type: 'gauge' | 'counter' | 'info'
  readonly help: string
  readonly samples: readonly Sample[]
}

const SUFFIX: Readonly<Record<Metric['type'], string>> = { gauge: '', counter: '_total', info: '_info' }

export const CONTENT_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

export function renderMetrics(metrics: readonly Metric[]): string {
  const lines = metrics.flatMap(({ name, type, help, samples }) => [
    `# TYPE ${name} ${type}`,
    `# HELP ${name} ${help}`,
    ...samples.map(({ labels = {}, value }) => `${name}${SUFFIX[type]}${renderLabels(labels)} ${value}`),
  ])
  return [...lines, '# EOF', ''].join('\n')
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
