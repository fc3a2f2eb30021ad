import { useState } from 'react'
import { decimal, micro, sum } from '../../../credits'
import { Amount, fractionWidth } from '../../../parts/amount'
import type { Data, Series, View } from '../../../parts/chart/model'
import { spanText } from '../../../parts/chart/telling'

/** firstRows is how many buckets are shown before one asks for all: thousands of rows take a moment. */
const firstRows = 200

type Props = { data: Data; view: View; zone: string; bucket: string; label: string }

/** UsageTable is the chart as figures, all of them, the newest bucket first. */
export function UsageTable({ data, view, zone, bucket, label }: Props) {
  const [all, setAll] = useState(false)
  const series = view === 'bars' ? data.series : data.series.map((one) => ({ ...one, amounts: runningOf(one.amounts) }))
  const previous = data.previous && (view === 'bars' ? data.previous.amounts : runningOf(data.previous.amounts))
  const rows = data.buckets.map((b, i) => ({ ...b, i })).toReversed()
  const totals = rows.map(({ i }) => sum(series.map((one) => one.amounts[i] ?? '0')))
  const totalWidth = fractionWidth(totals)
  return (
    <div className="table-wrap trends-table" role="region" aria-label={label} tabIndex={0}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Time</th>
            {series.length === 1 ? null : series.map((one) => <NameHead key={one.key} series={one} />)}
            <th scope="col" className="num">
              Total
            </th>
            {previous ? (
              <th scope="col" className="num">
                Period before
              </th>
            ) : null}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, all ? undefined : firstRows).map(({ start, end, complete, i }, row) => (
            <tr key={start}>
              <th scope="row" className="nowrap">
                {spanText(start, end, zone, bucket)}
                {complete ? null : <span className="soft small"> still being counted</span>}
              </th>
              {series.length === 1
                ? null
                : series.map((one) => (
                    <td key={one.key} className="num">
                      <Amount value={one.amounts[i] ?? '0'} />
                    </td>
                  ))}
              <td className="num">
                <Amount value={totals[row] ?? '0'} fraction={totalWidth} />
              </td>
              {previous ? <td className="num">{previous[i] === undefined ? null : <Amount value={previous[i]} />}</td> : null}
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">Total of the range</th>
            {series.length === 1
              ? null
              : series.map((one) => (
                  <td key={one.key} className="num">
                    <Amount value={one.total} />
                  </td>
                ))}
            <td className="num">
              <Amount value={sum(series.map((one) => one.total))} />
            </td>
            {previous ? (
              <td className="num">
                <Amount value={sum(data.previous?.amounts ?? [])} />
              </td>
            ) : null}
          </tr>
        </tfoot>
      </table>
      {!all && rows.length > firstRows ? (
        <button type="button" className="button trends-all" onClick={() => setAll(true)}>
          Show all {rows.length} buckets
        </button>
      ) : null}
    </div>
  )
}

function NameHead({ series }: { series: Series }) {
  return (
    <th scope="col" className="num">
      <bdi className="chart-name trends-name" title={series.name}>
        {series.name}
      </bdi>
    </th>
  )
}

/** runningOf adds amounts up exactly. */
export function runningOf(amounts: string[]): string[] {
  let total = 0n
  return amounts.map((amount) => {
    total += micro(amount)
    return decimal(total)
  })
}
