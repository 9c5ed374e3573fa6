/** Imports many targets: first a dry run with a report per row, then for real. */

import { Button, FileButton, Modal, Textarea } from '@mantine/core'
import { useState } from 'react'

import { useTargetImport } from '../../api/commands'
import type { ImportReport } from '../../api/types'
import { CSV_EXAMPLE, IMPORT_BYTES_MAX, importType } from '../../domain/importing'
import { bytes, count } from '../../domain/units'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Words } from '../../ui/Words'
import form from '../../ui/form.module.css'
import css from './ImportDialog.module.css'

/** Rows of a report that are drawn; failures come first, so none is hidden behind good rows. */
const ROWS_SHOWN_MAX = 300

export function ImportDialog({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Import targets" size="xl">
      <ImportForm onDone={onClose} />
    </Modal>
  )
}

function ImportForm({ onDone }: { onDone: () => void }) {
  const [text, setText] = useState('')
  const [tooLarge, setTooLarge] = useState<string | null>(null)
  const run = useTargetImport()
  const report = run.data
  const change = (next: string) => {
    setText(next)
    run.reset()
  }
  const take = async (file: File | null) => {
    if (file === null) return
    const isTooLarge = file.size > IMPORT_BYTES_MAX
    setTooLarge(
      isTooLarge
        ? `${file.name} has ${bytes(file.size)}; at most ${bytes(IMPORT_BYTES_MAX)}`
        : null,
    )
    if (!isTooLarge) change(await file.text())
  }
  const isChecked = report?.dry_run === true
  const willChange = isChecked ? report.created + report.updated : 0
  if (report?.dry_run === false) return <Imported report={report} onDone={onDone} />
  return (
    <div className={form.form}>
      <p className={form.hint}>
        CSV with the header <code>name,address,tier,tags,note</code>, or a JSON array of objects
        with these fields. A row whose name exists already updates that target.
      </p>
      <Textarea
        aria-label="Rows to import"
        placeholder={CSV_EXAMPLE}
        minRows={8}
        maxRows={8}
        autosize={false}
        rows={8}
        spellCheck={false}
        className={css.text}
        value={text}
        error={tooLarge}
        onChange={(event) => {
          change(event.currentTarget.value)
        }}
      />
      <Failure error={run.error} />
      {report && <Report report={report} />}
      <div className={form.actions}>
        <FileButton
          onChange={(file) => void take(file)}
          accept=".csv,.json,text/csv,application/json"
        >
          {(props) => (
            <Button {...props} size="sm" variant="default" leftSection={<Icon name="upload" />}>
              Choose a file
            </Button>
          )}
        </FileButton>
        <span style={{ flex: 1 }} />
        {!isChecked && (
          <Button
            size="sm"
            disabled={text.trim() === ''}
            loading={run.isPending}
            onClick={() => {
              run.mutate({ text, isDry: true })
            }}
          >
            Check {importType(text) === 'text/csv' ? 'CSV' : 'JSON'}
          </Button>
        )}
        {isChecked && (
          <Button
            size="sm"
            disabled={willChange === 0}
            loading={run.isPending}
            onClick={() => {
              run.mutate({ text, isDry: false })
            }}
          >
            Import {count(willChange)} of {count(report.rows.length)} rows
          </Button>
        )}
      </div>
    </div>
  )
}

const WORDS = {
  create: 'create',
  update: 'update',
  unchanged: 'unchanged',
  fail: 'cannot',
} as const
const TONES = { create: 'good', update: 'warn', unchanged: 'muted', fail: 'bad' } as const
const ORDER = { fail: 0, update: 1, create: 2, unchanged: 3 } as const

function Report({ report }: { report: ImportReport }) {
  const rows = [...report.rows].sort((a, b) => ORDER[a.action] - ORDER[b.action] || a.row - b.row)
  return (
    <section aria-label="Report">
      <p className={css.sums} role="status">
        <b>Nothing is changed yet.</b> {count(report.created)} to create, {count(report.updated)}{' '}
        to update, {count(report.unchanged)} unchanged, {count(report.failed)} cannot be imported.
      </p>
      <div className={css.rows}>
        <table>
          <thead>
            <tr>
              <th scope="col">{rows.some(({ line }) => line !== null) ? 'Line' : 'Row'}</th>
              <th scope="col">Would</th>
              <th scope="col">Name</th>
              <th scope="col">Why not</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS_SHOWN_MAX).map((row) => (
              <tr key={row.row}>
                <td>{row.line ?? row.row}</td>
                <td className={`tone-${TONES[row.action]} ${css.action}`}>{WORDS[row.action]}</td>
                <td>{row.name}</td>
                <td>
                  <Words
                    text={row.errors.map(({ field, reason }) => `${field}: ${reason}`).join('; ')}
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > ROWS_SHOWN_MAX && (
        <p className={form.hint}>
          The first {ROWS_SHOWN_MAX} of {count(rows.length)} rows, failures first.
        </p>
      )}
    </section>
  )
}

function Imported({ report, onDone }: { report: ImportReport; onDone: () => void }) {
  return (
    <div className={form.form}>
      <p role="status">
        <b>Imported.</b> {count(report.created)} created, {count(report.updated)} updated,{' '}
        {count(report.unchanged)} unchanged, {count(report.failed)} left out.
      </p>
      <div className={form.actions}>
        <Button size="sm" onClick={onDone}>
          Show the targets
        </Button>
      </div>
    </div>
  )
}
