# figures.awk - lines "row setup value ..." into a table of medians, one line for each row and value.
# -v setups='redis pool ...': the first is what the others are compared with; -v heads='wall cpu': the values.
# A setup without the row has a dash.

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
    columns = split(setups, setup, " ")
    count = split(heads, head, " ")
    printf "%-22s %10s", "", setup[1]
    for (c = 2; c <= columns; c++) printf " %10s %8s", setup[c], "ratio"
    print ""
    for (r = 1; r <= row_count; r++)
        for (h = 1; h <= count; h++) {
            printf "%-22s", rows[r] " " head[h]
            for (c = 1; c <= columns; c++) {
                there = (rows[r], setup[c], h) in all
                value = there ? median(all[rows[r], setup[c], h]) : 0
                printf " %10s", there ? sprintf("%.2f", value) : "-"
                if (c == 1) first = value
                else printf " %8s", there && first != 0 ? sprintf("%.2f", value / first) : "-"
            }
            print ""
        }
}
