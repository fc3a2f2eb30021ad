// Package forecast says what will have been used by an instant: by a campaign,
// and by a workspace so that its campaigns add up to it. It is a pure function
// of hourly gross sums: no clock, no I/O, nothing stored, no randomness.
//
// [Project] makes a [Forecast] of one [Series]; [Workspace] makes an [Outlook]
// of all series of a workspace. Both hold a [Curve]: cumulative use from the
// series' instant on, whose [Curve.At] gives mean, p10, p50 and p90 at any
// instant and [Curve.Reaches] the instant at which an amount has been used: a
// quota, or a balance. A projection of a campaign is what it has used so far
// plus Curve.At(end of its period). Amounts are floats, in the unit of the
// hours given; [Total] brings credits back into the house's type.
//
// # Rules
//
//  1. The input is gross: refunds are left out by the caller. An amount that
//     is negative, NaN, infinite or beyond 3.4e38 counts as 0. Of the hours at
//     most the last half year is read.
//  2. Methods: `seasonal` with at least 14 days in which it was active and 24
//     hours with use; `run_rate`, a profile that is flat, with a day and three
//     hours with use, or with a week of silence known to be one (Since is
//     given): then 0; `insufficient_data` below that: nothing is known, the
//     curve is empty. What cannot be used any more before the horizon (paused,
//     ended) projects to nothing, by `run_rate`: that much is known.
//  3. Time in which it was paused, ended or not yet there is left out: it is
//     neither demand nor its absence. Parts of an hour count in part.
//  4. One hour counts at most twice what the sixth largest hour has (fewer
//     where fewer hours have use), so that a single burst moves nothing, and
//     one a week is a habit. What n days had above that bound is given back to
//     all hours in proportion by (n - 1) / (n + 1) of it (a credibility, as
//     actuaries have it: Buehlmann 1967). Such a day is 24 hours that begin
//     with a burst, so that one burst is one day whatever hour it is looked at.
//     Past errors (rule 8) see bursts in full.
//  5. The profile is the mean, for each of the 168 hours of the local week, of
//     use divided by the level then (interpolated between weeks), a week
//     weighing 0.9 of the next one. It is shrunk towards flat by the share of its variance that noise explains
//     (intraclass correlation; a James-Stein estimate), then bent within each
//     day to the recent hours of the day (half-life 10 days; working days and
//     weekend apart). This is the classical decomposition with a
//     multiplicative season (Hyndman and Athanasopoulos, Forecasting:
//     Principles and Practice, 3rd ed., chapters 3 and 13).
//  6. The level, use per unit of profile, is a mix of exponential smoothings
//     of days (blocks of 24 h that end at the instant) with half-lives of 2,
//     4, 8 and 16 days, of the plain mean, and of a trend through those of 4
//     and 16 days, each as old as the mean age of what it weighs, that goes on
//     from there in steps which halve in 14 days (Brown 1963; damped as by
//     Gardner and McKenzie 1985). Half-lives in place of one fitted constant,
//     because eight weeks cannot tell constants apart. A run rate is the plain
//     mean.
//  7. In the mix, a candidate weighs the less the larger its mean squared past
//     errors are (bursts bounded): m1 and m7, those of one and of seven days
//     ahead. One day ahead it weighs m1^-8, seven days ahead m1^-4 m7^-4, and
//     from 21 days on the same times its rank from fast to slow (1 for the
//     trend); in between, levels are interpolated. (Combination by past
//     performance: Bates and Granger 1969; Timmermann 2006.)
//     All of these weights are then multiplied by 1 - s, and s is given to the
//     plain mean: s is the chance that the level stands still. It comes from a
//     local level model of the days (bursts bounded), use_t = level_t x_t + e_t
//     with x_t the profile's share, var e_t = x_t v, level_t+1 = level_t + u_t
//     with var u_t = q v: its likelihood by the Kalman filter's prediction
//     errors, v concentrated out, for q = 0 against the mean of those for six q
//     from 0.003 to 1, with odds of 5 for q = 0 beforehand (Harvey 1989,
//     chapters 3 and 4; Durbin and Koopman 2012, chapter 2). A level that moves
//     makes neighbouring days alike, and s is about 0 within weeks; use that
//     comes as independent events does not, and is left with its mean.
//  8. The band comes from what the same mix would have missed at every past
//     day of the history (rolling origins), relative to the level, at 1 to 28
//     days ahead: its quantiles by the rank of split conformal prediction
//     (Vovk et al. 2005), blended with a gamma distribution (Wilson and
//     Hilferty 1931) whose variance, noise / days + drift, is fitted to all
//     of these errors, bursts bounded. The fewer independent errors there are
//     at a horizon, the wider is the band (as Student's t is wider than the
//     normal distribution) and the more does the gamma distribution weigh;
//     beyond the longest horizon seen, and up to six hours ahead, it is all
//     there is. Below a day its variance falls as those of an hour and of a
//     day in the history say: hours that are off together, as on a rainy day,
//     make short bands narrower than hours that know nothing of each other.
//     p50 is a median, not the mean: of bursty use it is lower. It lies
//     s n^2 / (n^2 + 4) of the way from what past errors and the gamma
//     distribution say to the mean, which has bursts bounded already: the more
//     events n are expected, the less can a median differ from the mean, and
//     where the level stands still past errors were chance. n is the effective
//     number, (sum)^2 / sum of squares of hours (Kish 1965); a run rate has s = 1.
//  9. A run rate of something younger than 14 days and without an end is
//     doubted: it is expected to go on for as long as it has, and a week (Gott
//     1993: of all ages at which one could look, none is special), so the hour
//     t ahead counts age / (age + t).
//  10. No figure of a curve falls with time, and p10 <= p50 <= p90.
//  11. A workspace is its parts and what is new: Total.Mean = sum of
//     Parts.Mean + New.Mean at every instant. New is what the workspace's own
//     forecast leaves, at most the share that came, in the last four weeks,
//     from campaigns which were not there so many days before. So a workspace
//     whose campaigns follow each other does not run dry with the last one,
//     and one that pauses a campaign sees the difference.
//  12. Quantiles do not add up: the band of Total is that of the workspace's
//     own forecast, relative to its mean. Parts are forecast one by one.
package forecast
