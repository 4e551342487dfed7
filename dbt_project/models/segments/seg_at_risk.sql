{{ segment(
    all_of=[prop('rfm_cell', 'in', ['at_risk', 'cant_lose_them'])],
) }}
