/** Where a permalink leads: the record, and whether it is still the one that the link was made for. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { RecordPanel } from '../parts/record-panel.tsx'
import { steps } from '../router.ts'

export function RecordScreen(): JSX.Element {
  const record = steps.value[1] ?? ''
  const [reason, setReason] = useState<string>()
  return (
    <div class="record-screen">
      <h1 class="unseen">Record {record}</h1>
      <RecordPanel key={record} record={record} reason={reason} onReason={setReason} />
    </div>
  )
}
