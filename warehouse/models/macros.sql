-- Engine-specific functions, each behind one name: to run the models on another engine, rewrite this file and nothing else.

-- Milliseconds from a to b (negative when b comes first). The resolution of every duration.
create or replace macro ms_between(a, b) as date_diff('millisecond', a, b);

-- Days from a to b as DOUBLE: milliseconds / 86,400,000, never a count of midnights.
create or replace macro days_between(a, b) as date_diff('millisecond', a, b) / 86400000.0;

-- Calendar day of a UTC instant in a named zone. Both zones are named, so the session's zone plays no part.
-- UTC needs no conversion: that is 30 times faster.
create or replace macro local_date(instant, zone) as
    case when zone = 'UTC' then cast(instant as date) else cast(timezone(zone, timezone('UTC', instant)) as date) end;

-- First day of the period that holds a day; weeks start on Monday; NULL for grain 'all'.
create or replace macro period_start(grain, day) as
    case grain
        when 'day' then cast(day as date)
        when 'week' then cast(date_trunc('week', day) as date)
        when 'month' then cast(date_trunc('month', day) as date)
        when 'quarter' then cast(date_trunc('quarter', day) as date)
        when 'year' then cast(date_trunc('year', day) as date)
    end;

-- Months from the first of the year 0 to a day, so that months can be counted; number // 3 counts quarters.
create or replace macro month_number(day) as year(day) * 12 + month(day) - 1;

-- First day of a month by its number.
create or replace macro month_begin(number) as make_date(number // 12, number % 12 + 1, 1);

-- The minute of an instant.
create or replace macro minute_of(instant) as date_trunc('minute', instant);

-- Money to two decimals, halves away from zero.
create or replace macro round_half_up(amount) as cast(round(amount, 2) as decimal(18, 2));

-- Canonical text of an amount as DECIMAL(18,2); NULL when the text is no amount.
create or replace macro amount_of(text) as try_cast(text as decimal(18, 2));

-- Canonical text of a day as DATE; NULL when the text is no day.
create or replace macro day_of(text) as try_cast(text as date);

-- Text for comparing names: lower case, without accents, punctuation and spaces. Empty becomes NULL.
create or replace macro fold(text) as nullif(regexp_replace(lower(strip_accents(text)), '[\s\pP\pS]+', '', 'g'), '');

-- A company's name for comparing: folded word by word, legal forms (PT, CV, Inc, Ltd, GmbH, Tbk ...) left out.
create or replace macro fold_company(text) as coalesce(
    fold(regexp_replace(
        ' ' || regexp_replace(lower(strip_accents(text)), '[\s\pP\pS]+', '  ', 'g') || ' ',
        ' (pt|cv|ud|inc|incorporated|ltd|limited|llc|plc|corp|co|gmbh|ag|kg|tbk|sa|sas|srl|spa|bv|nv|pte|pty|persero) ', ' ', 'g')),
    fold(text));

-- A web address or domain reduced to the bare domain: lower case, no scheme, no www, no path. Empty becomes NULL.
create or replace macro bare_domain(text) as
    nullif(regexp_replace(regexp_replace(lower(trim(text)), '^([a-z]+://)?(www\.)?', ''), '[/?#:].*$', ''), '');

-- The id that a deal's stored map of foreign ids gives for one system; NULL where it names none.
create or replace macro foreign_id(map_text, system) as json_extract_string(map_text, '$."' || system || '"');

-- A count with its noun: '1 deal', '2 deals'.
create or replace macro number_of(n, noun) as concat(n, ' ', noun, case when n = 1 then '' else 's' end);

-- A number that is unique within the query and means nothing: a short stand-in for long keys, never published.
create or replace macro any_number() as row_number() over ();

-- 95 % Wilson bounds of k of n, z = 1.959963984540054; NULL when n is 0 or NULL.
create or replace macro wilson_low(k, n) as
    case when n > 0 then greatest(0.0,
        ((1.0 * k / n) + 3.841458820694124 / (2.0 * n)
            - 1.959963984540054 * sqrt((1.0 * k / n) * (1.0 - 1.0 * k / n) / n + 3.841458820694124 / (4.0 * n * n)))
        / (1.0 + 3.841458820694124 / n)) end;

create or replace macro wilson_high(k, n) as
    case when n > 0 then least(1.0,
        ((1.0 * k / n) + 3.841458820694124 / (2.0 * n)
            + 1.959963984540054 * sqrt((1.0 * k / n) * (1.0 - 1.0 * k / n) / n + 3.841458820694124 / (4.0 * n * n)))
        / (1.0 + 3.841458820694124 / n)) end;

-- The value of the row that comes last in an order, NULL values too (an aggregate); rows without a place do not count.
create or replace macro value_at_last(value, place) as arg_max_null(value, place);
