/** Takes over a file of the network: first what it would do, then for real. */

import { Button, FileButton, Modal, SegmentedControl, Select, Textarea } from '@mantine/core'
import { useState } from 'react'

import { useTopologyImport } from '../../api/commands'
import type { TopologyImportReport, TopologyKeys } from '../../api/types'
import {
  FORMATS,
  type Format,
  TOPOLOGY_BYTES_MAX,
  type TopologyFile,
  formatOf,
} from '../../domain/topology'
import { bytes, count } from '../../domain/units'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Words } from '../../ui/Words'
import form from '../../ui/form.module.css'
import css from './TopologyPage.module.css'

const EXAMPLE = `kind,id,role,site,device,end_a,end_b,cost,latitude,longitude
site,fra,,,,,,,50.11,8.68
device,core1,core,fra,,,,,,
device,acc1,access,fra,,,,,,
link,core1--acc1,physical,,,core1,acc1,10,,
agent,fra1,,,core1,,,,,
target,cpe-17,,,acc1,,,,,`
/** A file longer than this is not shown in a field: that alone would take seconds. */
const SHOWN_BYTES_MAX = 200_000
/** Sentences, and names, that a report tells. */
const TOLD_MAX = 100
const NAMES_MAX = 30

export function ImportTopology({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Import the topology" size="xl">
      <ImportForm onDone={onClose} />
    </Modal>
  )
}

function ImportForm({ onDone }: { onDone: () => void }) {
  const [text, setText] = useState('')
  const [file, setFile] = useState<string | null>(null)
  const [chosen, setChosen] = useState<Format | null>(null)
  const [mode, setMode] = useState<TopologyFile['mode']>('merge')
  const [refused, setRefused] = useState<string | null>(null)
  const run = useTopologyImport()
  const format = chosen ?? formatOf(text, file ?? '')
  const change = (act: () => void) => {
    act()
    run.reset()
  }
  const take = async (picked: File | null) => {
    if (picked === null) return
    const isLarge = picked.size > TOPOLOGY_BYTES_MAX
    setRefused(
      isLarge
        ? `${picked.name} has ${bytes(picked.size)}; at most ${bytes(TOPOLOGY_BYTES_MAX)}`
        : null,
    )
    if (isLarge) return
    const next = await picked.text()
    change(() => {
      setText(next)
      setFile(picked.name)
      setChosen(null)
    })
  }
  const report = run.data
  if (report?.dry_run === false) return <Imported report={report} onDone={onDone} />
  const isChecked = report?.dry_run === true
  const changes = isChecked ? report.added.total + report.changed.total + report.removed.total : 0
  const isLong = text.length > SHOWN_BYTES_MAX
  return (
    <div className={form.form}>
      <p className={form.hint}>
        CSV, YAML, JSON, GraphML or topohub. What is checked is checked as a whole; nothing is
        changed before you say so.
      </p>
      {isLong ? (
        <>
          <p>
            <b>{file}</b>, {bytes(text.length)}
          </p>
          {refused !== null && (
            <p role="alert" className={css.refused}>
              {refused}
            </p>
          )}
        </>
      ) : (
        <Textarea
          aria-label="Topology to import"
          placeholder={EXAMPLE}
          rows={9}
          spellCheck={false}
          className={css.text}
          value={text}
          error={refused}
          onChange={(event) => {
            const next = event.currentTarget.value
            change(() => {
              setText(next)
            })
          }}
        />
      )}
      <div className={css.bar}>
        <FileButton
          onChange={(picked) => void take(picked)}
          accept=".csv,.yaml,.yml,.json,.graphml,.xml"
        >
          {(props) => (
            <Button {...props} size="sm" variant="default" leftSection={<Icon name="upload" />}>
              Choose a file
            </Button>
          )}
        </FileButton>
        <Select
          aria-label="Format"
          size="xs"
          w={120}
          allowDeselect={false}
          data={[...FORMATS]}
          value={format}
          onChange={(value) => {
            change(() => {
              setChosen(value as Format)
            })
          }}
        />
        <SegmentedControl
          aria-label="What the file does not name"
          size="xs"
          value={mode}
          data={[
            { value: 'merge', label: 'Keep what it does not name' },
            { value: 'replace', label: 'Replace all' },
          ]}
          onChange={(value) => {
            change(() => {
              setMode(value as TopologyFile['mode'])
            })
          }}
        />
      </div>
      <Failure error={run.error} />
      {report !== undefined && <Report report={report} />}
      <div className={form.actions}>
        <span style={{ flex: 1 }} />
        {isChecked && report.problems.length === 0 ? (
          <Button
            size="sm"
            disabled={changes === 0}
            loading={run.isPending}
            color={report.removed.total > 0 ? 'red' : undefined}
            onClick={() => {
              run.mutate({ text, format, mode, isDry: false })
            }}
          >
            {changes === 0 ? 'Nothing to change' : `Apply ${count(changes)} changes`}
          </Button>
        ) : (
          <Button
            size="sm"
            disabled={text.trim() === ''}
            loading={run.isPending}
            onClick={() => {
              run.mutate({ text, format, mode, isDry: true })
            }}
          >
            Check
          </Button>
        )}
      </div>
    </div>
  )
}

function Report({ report }: { report: TopologyImportReport }) {
  const { problems } = report
  const warnings = [...report.warnings, ...report.doubts]
  return (
    <section aria-label="Report" className={css.report}>
      <p role="status">
        <b>Nothing is changed yet.</b>{' '}
        {problems.length > 0
          ? `${count(problems.length)} of it cannot be: correct the file.`
          : `${count(report.added.total)} to add, ${count(report.changed.total)} to change, ${count(report.removed.total)} to remove, ${count(report.unchanged)} unchanged.`}
      </p>
      {problems.length > 0 && (
        <ul className={css.problems} aria-label="Problems">
          {problems.slice(0, TOLD_MAX).map(({ field, reason }, at) => (
            <li key={at}>
              <b>{field}</b> <Words text={reason} />
            </li>
          ))}
        </ul>
      )}
      <Keys title="Add" keys={report.added} />
      <Keys title="Change" keys={report.changed} />
      <Keys title="Remove" keys={report.removed} />
      {warnings.length > 0 && (
        <ul className={css.warnings} aria-label="Warnings">
          {warnings.slice(0, TOLD_MAX).map((text) => (
            <li key={text}>
              <Words text={text} />
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function Keys({ title, keys }: { title: string; keys: TopologyKeys }) {
  if (keys.total === 0) return null
  return (
    <p>
      <b>{title}</b> {keys.ids.slice(0, NAMES_MAX).join(', ')}
      {keys.total > NAMES_MAX && ` and ${count(keys.total - NAMES_MAX)} more`}
    </p>
  )
}

function Imported({ report, onDone }: { report: TopologyImportReport; onDone: () => void }) {
  return (
    <div className={form.form}>
      <p role="status">
        <b>Imported.</b> {count(report.added.total)} added, {count(report.changed.total)} changed,{' '}
        {count(report.removed.total)} removed.
      </p>
      <div className={form.actions}>
        <Button size="sm" onClick={onDone}>
          Show the topology
        </Button>
      </div>
    </div>
  )
}
