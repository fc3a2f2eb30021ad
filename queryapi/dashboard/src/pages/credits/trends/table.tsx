import { memo, useState } from 'react'
import { decimal, micro, sum } from '../../../credits'
import { Amount, fractionWidth } from '../../../parts/amount'
import type { Data, Series, View } from '../../../parts/chart/model'
import { spanText } from '../../../parts/chart/telling'

/** firstRows is how many buckets are shown before one asks for all: amounts take longer to write than one would think. */
const firstRows = 60

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
            <th scope="col" className="num">
              Total
            </th>
            {previous ? (
              <th scope="col" className="num">
                Period before
              </th>
            ) : null}
            {series.length === 1 ? null : series.map((one) => <NameHead key={one.key} series={one} />)}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, all ? undefined : firstRows).map(({ start, end, complete, i }, row) => (
            <Row
              key={start}
              time={spanText(start, end, zone, bucket)}
              complete={complete}
              width={totalWidth}
              amounts={[
                totals[row] ?? '0',
                ...(previous ? [previous[i] ?? ''] : []),
                ...(series.length === 1 ? [] : series.map((one) => one.amounts[i] ?? '0')),
              ].join(' ')}
            />
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">Total of the range</th>
            <td className="num">
              <Amount value={sum(series.map((one) => one.total))} />
            </td>
            {previous ? (
              <td className="num">
                <Amount value={sum(data.previous?.amounts ?? [])} />
              </td>
            ) : null}
            {series.length === 1
              ? null
              : series.map((one) => (
                  <td key={one.key} className="num">
                    <Amount value={one.total} />
                  </td>
                ))}
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

type RowProps = { time: string; complete: boolean; width: number; amounts: string }

/** Row is a bucket; its amounts are one text, so that a row that has not changed is left alone. */
const Row = memo(function Row({ time, complete, width, amounts }: RowProps) {
  return (
    <tr>
      <th scope="row" className="nowrap">
        {time}
        {complete ? null : <span className="trends-open soft small"> still being counted</span>}
      </th>
      {amounts.split(' ').map((amount, column) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: columns keep their place
        <td key={column} className="num">
          {amount === '' ? null : <Amount value={amount} {...(column === 0 ? { fraction: width } : {})} />}
        </td>
      ))}
    </tr>
  )
})

/** runningOf adds amounts up exactly. */
export function runningOf(amounts: string[]): string[] {
  let total = 0n
  return amounts.map((amount) => {
    total += micro(amount)
    return decimal(total)
  })
}
