# figures.awk - lines "row setup value ..." into a table of medians, one line for each row and value.
# -v setups='redis pool': the first is what the second is compared with; -v heads='wall cpu': the values.

function median(list,    n, values, i, j, t) {
    n = split(list, values, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && values[j] + 0 < values[j - 1] + 0; j--) {
            t = values[j]; values[j] = values[j - 1]; values[j - 1] = t
        }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}

!($1 in seen) { seen[$1] = 1; rows[++row_count] = $1 }
{ for (field = 3; field <= NF; field++) all[$1, $2, field - 2] = all[$1, $2, field - 2] " " $field }

END {
    split(setups, setup, " ")
    count = split(heads, head, " ")
    printf "%-22s %10s %10s %8s\n", "", setup[1], setup[2], "ratio"
    for (r = 1; r <= row_count; r++)
        for (h = 1; h <= count; h++) {
            a = median(all[rows[r], setup[1], h])
            b = median(all[rows[r], setup[2], h])
            printf "%-22s %10.2f %10.2f %8.2f\n", rows[r] " " head[h], a, b, (a != 0 ? b / a : 0)
        }
}
