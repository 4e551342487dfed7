{{ segment(
    all_of=[in_rfm_cell(['at_risk', 'cant_lose_them'])],
) }}
