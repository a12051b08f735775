# SPDX-License-Identifier: GPL-2.0-only
# What ci/bench/report left, as a picture: gnuplot -e "dir='DIRECTORY'" chart.gp >FILE
set terminal svg size 1000,400 noenhanced font "sans,12" background "white"
set multiplot layout 1,2
set style data histograms
set style fill solid 0.9 noborder
set boxwidth 0.85
set grid ytics lc rgb "#dddddd"
set border 1
set tics nomirror scale 0
set bmargin 6
set yrange [0:*]
set key top left reverse Left samplen 1

set title "On the caller's own CPU: instructions a call"
set style histogram clustered gap 1
set xtics rotate by -25
plot dir."/own.tsv" using 2:xtic(1) title "design of 2018" lc rgb "#c8c8c8", \
     "" using 4 title "cpu_opv" lc rgb "#1f6fb4", \
     "" using 3 title "goal" lc rgb "#8fc58f"

set title "To reach another CPU: instructions a call"
set style histogram rowstacked
plot dir."/other.tsv" using 2:xtic(1) title "caller" lc rgb "#1f6fb4", \
     "" using 3 title "that CPU" lc rgb "#e0903a"
