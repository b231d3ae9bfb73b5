# table.awk - lines "row setup us/command commands/s p50_ms p99_ms" into a table of medians.
# -v setups='redis pool ...': the columns; the first is what the others are compared with.

function median(list, n, values, i, j, t) {
    n = split(list, values, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && values[j] + 0 < values[j - 1] + 0; j--) {
            t = values[j]; values[j] = values[j - 1]; values[j - 1] = t
        }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}

!($1 in seen) { seen[$1] = 1; rows[++row_count] = $1 }
{ for (field = 3; field <= 6; field++) all[$1, $2, field] = all[$1, $2, field] " " $field }

END {
    columns = split(setups, setup, " ")
    printf "%-16s", ""
    for (c = 1; c <= columns; c++) printf "|%37s ", setup[c]
    printf "\n%-16s", ""
    for (c = 1; c <= columns; c++) printf "|%9s %6s %8s %5s %5s ", "us/cmd", "ratio", "cmd/s", "p50", "p99"
    print "(ms)"
    for (r = 1; r <= row_count; r++) {
        printf "%-16s", rows[r]
        base = median(all[rows[r], setup[1], 3])
        for (c = 1; c <= columns; c++) {
            cpu = median(all[rows[r], setup[c], 3])
            printf "|%9.2f %6.2f %8d %5.2f %5.2f ", cpu, base ? cpu / base : 0,
                   median(all[rows[r], setup[c], 4]), median(all[rows[r], setup[c], 5]),
                   median(all[rows[r], setup[c], 6])
        }
        print ""
    }
}
