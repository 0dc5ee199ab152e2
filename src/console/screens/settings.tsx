/** What is in force, without secrets: the same text that every load of the configuration puts into the book. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { Settings } from '../../http/api.ts'
import { ask } from '../client.ts'
import { visible } from '../format.ts'
import { Show, useLoad } from '../parts/load.tsx'
import { Copy } from '../parts/small.tsx'
import { choose, type Theme, theme } from '../theme.ts'

const THEMES: readonly (readonly [Theme, string])[] = [
  ['system', 'As the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
]

export function SettingsScreen({ all }: { readonly all: boolean }): JSX.Element {
  return (
    <div class="settings">
      <h1>Settings</h1>
      <section class="panel">
        <h2>Appearance</h2>
        <span role="group" aria-label="Appearance" class="segments">
          {THEMES.map(([name, title]) => (
            <button key={name} type="button" aria-pressed={theme.value === name} onClick={() => choose(name)}>
              {title}
            </button>
          ))}
        </span>
      </section>
      {all && <InForce />}
    </div>
  )
}

function InForce(): JSX.Element {
  const loaded = useLoad('settings', (signal) => ask<Settings>('/settings', { signal }))
  return (
    <Show of={loaded}>
      {({ effective, release, listening }) => {
        const config = JSON.parse(effective) as Record<string, unknown>
        return (
          <>
            <section class="panel">
              <h2>Listening</h2>
              <table class="plain">
                <thead>
                  <tr>
                    <th>Name</th>
                    <th>Type</th>
                    <th>Address</th>
                  </tr>
                </thead>
                <tbody>
                  {listening.map(({ name, type, address }) => (
                    <tr key={name}>
                      <td>{name}</td>
                      <td>{type}</td>
                      <td>
                        <code>{address}</code>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              <p class="quiet">Gatebook {release}</p>
            </section>
            <section class="panel">
              <h2>
                Configuration in force <Copy text={JSON.stringify(config, null, 2)} label="Copy JSON" />
              </h2>
              <p class="quiet">
                Secrets stand here by their reference alone. It changes by its file, and each change is a
                record.
              </p>
              {Object.entries(config).map(([name, value]) => (
                <Branch key={name} name={name} value={value} depth={0} />
              ))}
            </section>
          </>
        )
      }}
    </Show>
  )
}

/** A part of the configuration: short ones in a line, long ones to be opened. */
function Branch({
  name,
  value,
  depth,
}: {
  readonly name: string
  readonly value: unknown
  readonly depth: number
}): JSX.Element {
  const [open, setOpen] = useState(depth < 1)
  const text = JSON.stringify(value)
  if (typeof value !== 'object' || value === null || text.length < 60) {
    return (
      <div class="leaf-line">
        <span class="key">{visible(name)}</span>{' '}
        <code class="recorded">{visible(typeof value === 'string' ? value : text)}</code>
      </div>
    )
  }
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class="key">{visible(name)}</summary>
      <div class="branch">
        {open &&
          Object.entries(value).map(([key, part]) => (
            <Branch key={key} name={key} value={part} depth={depth + 1} />
          ))}
      </div>
    </details>
  )
}
