/** What a window silences, when it is open, and what stands against it. */

import { Link } from '@tanstack/react-router'

import type { MaintenancePreview } from '../../api/types'
import { coverWords, spanWords } from '../../domain/maintenance'
import { many } from '../../domain/units'
import css from './Maintenance.module.css'

export function PreviewView({ preview }: { preview: MaintenancePreview }) {
  const { targets, targets_total, devices, devices_total, customers } = preview
  return (
    <div className={css.preview}>
      <section>
        <h3>Silent</h3>
        <p>
          {preview.is_all
            ? `Everything: ${many(targets_total, 'target')}`
            : `${many(targets_total, 'target')} behind ${many(devices_total, 'device')}, ${many(customers, 'customer')}`}
        </p>
        {!preview.is_all && (
          <>
            <Names label="Targets" names={targets} total={targets_total} />
            <Names label="Devices" names={devices} total={devices_total} />
          </>
        )}
        {preview.unknown.length > 0 && (
          <p className={css.warn}>
            Not there, and so without effect: {coverWords(preview.unknown)}
          </p>
        )}
      </section>
      <section>
        <h3>Open next, by the clocks of {preview.zone}</h3>
        {preview.occurrences.length === 0 ? (
          <p className={css.quiet}>Never again.</p>
        ) : (
          <ul>
            {preview.occurrences.map((one) => (
              <li key={one.start}>
                {spanWords(one)}
                {one.is_clock_changed && <span className={css.warn}> · the clocks change</span>}
              </li>
            ))}
          </ul>
        )}
      </section>
      {preview.open_incidents.length > 0 && (
        <section>
          <h3>People know already</h3>
          <ul>
            {preview.open_incidents.map(({ id, sentence }) => (
              <li key={id}>
                <Link to="/incidents/$id" params={{ id }}>
                  #{id}
                </Link>{' '}
                {sentence} <span className={css.quiet}>It goes on being told.</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h3>What is recorded all the same</h3>
        <ul>
          {preview.recorded.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      </section>
    </div>
  )
}

function Names({ label, names, total }: { label: string; names: string[]; total: number }) {
  if (names.length === 0) return null
  const more = total - names.length
  return (
    <p className={css.names}>
      {label}: {names.join(', ')}
      {more > 0 && ` and ${more} more`}
    </p>
  )
}
