import { expect, test } from 'vitest'
import { renderMetrics } from '../../../src/monitor/metrics.ts'
import { MonitorServer } from '../../../src/monitor/server.ts'

test('counters and infos get their suffix, labels are quoted, the text ends as OpenMetrics demands', () => {
  const text = renderMetrics([
    { name: 'a_build', type: 'info', help: 'H.', samples: [{ labels: { release: '1"\\\n' }, value: 1 }] },
    { name: 'a_records', type: 'counter', help: 'R.', samples: [{ value: 7 }] },
    { name: 'a_open', type: 'gauge', help: 'O.', samples: [] },
  ])
  expect(text).toBe(
    [
      '# TYPE a_build info',
      '# HELP a_build H.',
      'a_build_info{release="1\\"\\\\\\n"} 1',
      '# TYPE a_records counter',
      '# HELP a_records R.',
      'a_records_total 7',
      '# TYPE a_open gauge',
      '# HELP a_open O.',
      '# EOF',
      '',
    ].join('\n'),
  )
})

test('health, readiness and figures answer by themselves, and failing figures are no crash', async () => {
  let reason: string | undefined
  let broken = false
  const faults: unknown[] = []
  const server = await MonitorServer.open(
    { host: '127.0.0.1', port: 0 },
    {
      notReady: () => reason,
      metrics: async () => {
        if (broken) throw new Error('no figures')
        return []
      },
      onFault: (error) => faults.push(error),
    },
  )
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method })
    return [response.status, await response.text()]
  }
  try {
    expect(await get('/healthz')).toEqual([200, 'ok\n'])
    expect(await get('/readyz')).toEqual([200, 'ready\n'])
    reason = 'draining'
    expect(await get('/readyz')).toEqual([503, 'draining\n'])
    expect(await get('/metrics')).toEqual([200, '# EOF\n'])
    broken = true
    expect(await get('/metrics')).toEqual([500, 'the figures could not be read\n'])
    expect(faults).toEqual([new Error('no figures')])
    expect(await get('/elsewhere')).toEqual([404, 'healthz, readyz or metrics\n'])
    expect((await get('/healthz', 'POST'))[0]).toBe(405)
  } finally {
    server.close()
  }
})
